"""The samples in test_rgb/ and test_raw/, and the photographs that they come from."""

import re
import sys

import numpy as np
import pytest
from conftest import ROOT, run

from omf.io.images import read_rgb
from omf.io.packed import list_packed, read_packed
from omf.io.photos import list_images
from omf.raw.overexposure import overexposure_mask
from omf.training.settings import read_settings
from omf.training.sources import list_scenes

PHOTOS = list_images(ROOT / "test_rgb")
PHOTOGRAPHS = {path.stem for path in (ROOT / "tools" / "photographs").iterdir()}


def test_committed_samples_match_the_script(tmp_path):
    result = run(sys.executable, "tools/make_samples.py", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    names = list_packed(ROOT / "test_raw").keys()
    assert len(names) == 12
    assert {path.stem for path in PHOTOS} == names == list_packed(tmp_path / "test_raw").keys()
    for name in names:
        created = read_packed(tmp_path / "test_raw" / f"{name}.npy").astype(int)
        committed = read_packed(ROOT / "test_raw" / f"{name}.npy")
        # other builds of numpy may differ in the last bit, which changes a few counts by 1
        assert np.abs(created - committed).max() <= 1
        assert (created != committed).mean() < 1e-3


def test_the_photographs_overexpose_highlights():
    shares = [overexposure_mask(read_rgb(path)).mean() for path in PHOTOS if path.stem in PHOTOGRAPHS]
    assert len(shares) == 8
    assert sum(share > 0.005 for share in shares) >= 4
    assert max(shares) < 0.2


def test_each_photograph_has_an_author_a_licence_and_a_source():
    readme = (ROOT / "test_rgb" / "README.md").read_text()
    rows = re.findall(
        r"^\| `(\w+)\.jpg` \| [^|]+ \| [^|]+ \| (?:CC0|public domain)[^|]* \| [^|]+ \|$", readme, re.M
    )
    assert sorted(rows) == sorted(PHOTOGRAPHS)


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("trained_models/*/training.yaml")), ids=lambda path: path.parent.name
)
def test_no_shipped_model_is_trained_on_the_photographs(path):
    """By name: the settings list other folders, and exclude the samples."""
    settings = read_settings(path)
    assert (settings.photos, settings.linear_images) == (["s7", "phones"], ["linear"])
    exclude = str(ROOT / settings.exclude)
    for folder in ("test_rgb", "tools/photographs"):
        used = {photo.stem for photo in list_scenes([str(ROOT / folder)], "")}
        assert used >= PHOTOGRAPHS
        kept = {photo.stem for photo in list_scenes([str(ROOT / folder)], exclude)}
        assert kept == used - PHOTOGRAPHS
