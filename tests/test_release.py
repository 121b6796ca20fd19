"""The files for the public host, and the steps of a release that they call."""

import re

import pytest
import yaml
from conftest import ROOT, run

from omf.utils.version import VERSION

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RELEASE = ROOT / "tools" / "release.sh"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_well_formed_and_call_scripts_that_exist(path):
    content = yaml.safe_load(path.read_text())
    assert content["name"] == path.stem
    assert content[True]  # YAML 1.1 reads the key `on` as true
    assert content["permissions"]  # no more than they need
    assert all(job["runs-on"].startswith("ubuntu-") for job in content["jobs"].values())
    programs = ("gh ", "echo ", "python -m pip ", "omf ")  # of the runner, and the one that was installed
    for step in (step for job in content["jobs"].values() for step in job["steps"]):
        assert len(step.keys() & {"uses", "run"}) == 1
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1"))
        line = re.sub(r"^sudo (--\S+ )*", "", step.get("run", ""))
        if line and not line.startswith(programs):
            script = ROOT / line.split()[0]
            assert script.is_file() and script.stat().st_mode & 0o100, line


def test_python_versions_are_those_of_the_package():
    (check,) = [path for path in WORKFLOWS if path.name == "check.yml"]
    versions = yaml.safe_load(check.read_text())["jobs"]["check"]["strategy"]["matrix"]["python"]
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())[1]
    assert versions[0] == oldest and versions == sorted(versions, key=lambda v: int(v.split(".")[1]))


def test_the_notes_of_a_release_are_its_section_of_the_changelog(tmp_path):
    assert run(RELEASE, "check", f"v{VERSION}").returncode == 0
    notes = run(RELEASE, "notes", f"v{VERSION}").stdout
    text = (ROOT / "CHANGELOG.md").read_text()
    _, _, after = text.partition(f"\n## {VERSION}")
    section = after.partition("\n")[2].partition("\n## ")[0]
    assert notes.strip() == section.strip() and notes.strip()
    for tag, words in (("v9.9.9", "the tag is v9.9.9, the version"), (VERSION, f"the tag is {VERSION}")):
        answer = run(RELEASE, "check", tag)
        assert answer.returncode == 1 and words in answer.stderr
    assert run(RELEASE, "unknown").returncode == 2
