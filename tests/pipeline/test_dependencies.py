"""Source files that a script depends on."""

from pathlib import Path

import pytest
from conftest import ROOT

from omf.pipeline.dependencies import source_files
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
