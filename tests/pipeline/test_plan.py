import threading
import time
from pathlib import Path

import pytest

from omf.pipeline import plan as plans
from omf.pipeline.plan import load_plan, plan_file, save_plan
from omf.utils.errors import InputError

PLAN = {"photos": [Path("a b.jpg"), "\udcff.jpg"], "white_level": 1024}


def test_a_plan_is_read_as_written_with_paths_as_text(tmp_path):
    path = plan_file(tmp_path / "preprocess", "s0", PLAN)
    save_plan(path, PLAN)
    assert load_plan(path) == {"photos": ["a b.jpg", "\udcff.jpg"], "white_level": 1024}
    assert path.name.startswith("s0.") and path.name.endswith(".json")


def test_other_content_has_another_name(tmp_path):
    others = [PLAN | {"white_level": 1023}, PLAN | {"photos": []}, PLAN | {"cfa": "RGGB"}]
    assert len({plan_file(tmp_path, "s0", plan) for plan in (PLAN, *others)}) == 4
    assert plan_file(tmp_path, "s0", dict(PLAN)) == plan_file(tmp_path, "s0", PLAN)


def test_a_job_waits_for_a_plan_that_is_not_visible_yet(tmp_path):
    path = plan_file(tmp_path, "s0", PLAN)
    threading.Timer(0.5, save_plan, (path, PLAN)).start()
    began = time.monotonic()
    assert load_plan(path)["white_level"] == 1024
    assert time.monotonic() - began >= 0.4


def test_a_missing_plan_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "TIMEOUT_SECONDS", 0.1)
    with pytest.raises(InputError, match=r"s0\..*\.json: not there after 0 s; run again"):
        load_plan(plan_file(tmp_path, "s0", PLAN))
