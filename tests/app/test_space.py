"""The files of the Space: they start the app, and name the version of Gradio that is tested."""

import re

import yaml
from conftest import ROOT

SPACE = ROOT / "examples" / "space"


def test_front_matter_names_the_tested_gradio_and_a_file_that_exists():
    _, head, _ = (SPACE / "README.md").read_text().split("---\n", 2)
    settings = yaml.safe_load(head)
    pinned = re.search(r"^gradio==(\S+)", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE)[1]
    assert (settings["sdk"], settings["sdk_version"]) == ("gradio", pinned)
    assert (SPACE / settings["app_file"]).is_file()
    assert len(settings["short_description"]) <= 60


def test_the_app_listens_to_all(monkeypatch):
    started = []
    monkeypatch.setattr("omf.app.server.launch", lambda **options: started.append(options))
    exec((SPACE / "app.py").read_text(), {})
    assert started == [{"host": "0.0.0.0"}]
