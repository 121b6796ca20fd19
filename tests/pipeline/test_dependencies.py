"""Source files that a script depends on."""

import shutil
from pathlib import Path

import pytest
from conftest import ROOT

from omf.pipeline import dependencies
from omf.pipeline.dependencies import fingerprint, source_files
from omf.utils.paths import PACKAGE

SCRIPT = ROOT / "scripts" / "infer.py"


def modules_of(script: Path) -> set[str]:
    """Return the modules of `omf` that a script depends on, except those that `omf/__init__.py` loads."""
    paths = {path.relative_to(PACKAGE).with_suffix("") for path in source_files(script) if path != script}
    return {".".join(path.parts) for path in paths if path.name != "__init__"} - {"utils.version"}


def test_imports_are_followed_also_inside_functions():
    modules = modules_of(SCRIPT)
    assert {"inference.load", "inference.fusion", "inference.unprocess", "networks.onednn"} <= modules
    assert not {"io.dng", "report.page", "evaluation.scores", "reconstructor", "commands"} & modules
    assert SCRIPT in source_files(SCRIPT) and PACKAGE / "__init__.py" in source_files(SCRIPT)


ERRORS = {"utils.errors", "utils.console"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import json", set()),
        ("import omf.utils.errors", ERRORS),
        ("from omf.utils import errors as e", ERRORS),
        ("from omf.utils import (\n    paths,  # noqa (a)\n    errors,\n)", ERRORS | {"utils.paths"}),
        ("import json, omf.utils.errors as e", ERRORS),
        ("from omf import __version__", set()),
        ("from omf.utils.errors import InputError", ERRORS),
        ("from omf.training import settings", ERRORS | {"training.settings", "utils.sections", "utils.yaml"}),
        ("def f():\n    if True:\n        from omf.utils.errors import InputError", ERRORS),
        ("import omfalos, notomf.errors", set()),
    ],
)
def test_forms_of_imports(tmp_path, line, expected):
    script = tmp_path / "script.py"
    script.write_text(line)
    assert modules_of(script) == expected


def test_templates_of_the_report_are_dependencies():
    names = {path.name for path in source_files(ROOT / "scripts" / "report.py")}
    assert {"report.html", "report.js", "summary.txt"} <= names


def test_the_fingerprint_changes_with_each_file(tmp_path, monkeypatch):
    original, script = ROOT / "scripts" / "check_problems.py", tmp_path / "scripts" / "check_problems.py"
    expected, files = fingerprint(original), source_files(original)
    for folder in ("omf", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(dependencies, "PACKAGE", tmp_path / "omf")

    def changed(path: Path, content: str) -> str:
        before = path.read_text()
        path.write_text(content)
        dependencies.imported_files.cache_clear()
        digest = fingerprint(script)
        path.write_text(before)
        return digest

    copies = [tmp_path / path.relative_to(ROOT) for path in files]
    assert changed(script, script.read_text()) == expected  # the location does not matter
    digests = {changed(copy, copy.read_text() + "\n") for copy in copies}
    assert len(digests | {expected}) == 1 + len(files)
    assert changed(tmp_path / "omf" / "inference" / "unprocess.py", "") == expected
    dependencies.imported_files.cache_clear()
