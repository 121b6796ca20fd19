"""Source files that a script depends on."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from omf.pipeline.dependencies import fingerprint, source_files
from omf.utils.paths import PACKAGE

SCRIPT = ROOT / "scripts" / "infer.py"


def modules_of(script: Path) -> set[str]:
    """Return the modules of `omf` that a script depends on, except those that `omf/__init__.py` loads."""
    paths = {path.relative_to(PACKAGE).with_suffix("") for path in source_files(script) if path != script}
    return {".".join(path.parts) for path in paths if path.name != "__init__"} - {"utils.version"}


def test_imports_are_followed_also_inside_functions():
    assert {
        "inference.load",
        "inference.fusion",
        "networks.winograd",
        "inference.unprocess",
        "raw.isp",
    } <= modules_of(SCRIPT)
    assert not {"io.dng", "report.page", "evaluation.scores", "reconstructor", "commands"} & modules_of(
        SCRIPT
    )
    assert SCRIPT in source_files(SCRIPT) and PACKAGE / "__init__.py" in source_files(SCRIPT)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import json", set()),
        ("import omf.utils.errors", {"utils.errors", "utils.console"}),
        ("from omf.utils import errors as e", {"utils.errors", "utils.console"}),
        ("from omf import __version__", set()),
        ("from omf.utils.errors import InputError", {"utils.errors", "utils.console"}),
        (
            "from omf.training import settings",
            {"training.settings", "utils.errors", "utils.console", "utils.sections", "utils.yaml"},
        ),
        (
            "def f():\n    if True:\n        from omf.utils.errors import InputError",
            {"utils.errors", "utils.console"},
        ),
        ("import omfalos, notomf.errors", set()),
    ],
)
def test_forms_of_imports(tmp_path, line, expected):
    script = tmp_path / "script.py"
    script.write_text(line)
    assert modules_of(script) == expected


def test_templates_of_the_report_are_dependencies():
    names = {path.name for path in source_files(ROOT / "scripts" / "report.py")}
    assert {"report.html", "report.js"} <= names


def test_the_fingerprint_changes_with_each_file(tmp_path):
    code = (
        "import sys; from pathlib import Path; from omf.pipeline.dependencies import fingerprint; "
        "print(fingerprint(Path(sys.argv[1])))"
    )

    def printed() -> str:
        command = [sys.executable, "-c", code, tmp_path / "scripts" / "check_problems.py"]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    for folder in ("omf", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    seen = {printed()}
    assert seen == {
        fingerprint(ROOT / "scripts" / "check_problems.py") + "\n"
    }  # the location does not matter
    for path in source_files(ROOT / "scripts" / "check_problems.py"):
        copy = tmp_path / path.relative_to(ROOT)
        before = copy.read_text()
        copy.write_text(before + "\n")
        seen.add(printed())
        copy.write_text(before)
    assert len(seen) == 1 + len(source_files(ROOT / "scripts" / "check_problems.py"))
    (tmp_path / "omf" / "inference" / "unprocess.py").write_text("")
    assert printed() in seen
