import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from omf.dependencies import fingerprint, source_files
from omf.folders import PACKAGE

SCRIPT = ROOT / "scripts" / "infer.py"


def modules_of(script: Path) -> set[str]:
    return {path.stem for path in source_files(script) if path != script}


def test_it_follows_imports_also_those_inside_functions():
    assert {"methods", "fusion", "winograd", "unprocess", "isp", "camera"} <= modules_of(SCRIPT)  # `methods` loads networks when called
    assert not {"dng", "report", "evaluate", "reconstructor", "commands"} & modules_of(SCRIPT)
    assert SCRIPT in source_files(SCRIPT) and PACKAGE / "__init__.py" in source_files(SCRIPT)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import json", set()),
        ("import omf.errors", {"__init__", "errors", "terminal"}),
        ("from omf import errors as e", {"__init__", "errors", "terminal"}),
        ("from omf import __version__", {"__init__"}),
        ("from omf.errors import InputError", {"__init__", "errors", "terminal"}),
        ("from omf.training import settings", {"__init__", "errors", "terminal", "settings", "yaml_files"}),
        ("def f():\n    if True:\n        from omf.errors import InputError", {"__init__", "errors", "terminal"}),
        ("import omfalos, notomf.errors", set()),
    ],
)
def test_forms_of_imports(tmp_path, line, expected):
    script = tmp_path / "script.py"
    script.write_text(line)
    assert modules_of(script) == expected


def test_what_a_report_reads_besides_modules():
    names = {path.name for path in source_files(ROOT / "scripts" / "report.py")}
    assert {"report.html", "report.js"} <= names


def test_the_fingerprint_changes_with_each_file(tmp_path):
    code = "import sys; from pathlib import Path; from omf.dependencies import fingerprint; print(fingerprint(Path(sys.argv[1])))"

    def printed() -> str:
        command = [sys.executable, "-c", code, tmp_path / "scripts" / "verdict.py"]
        return subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, check=True, capture_output=True, text=True).stdout

    for folder in ("omf", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    seen = {printed()}
    assert seen == {fingerprint(ROOT / "scripts" / "verdict.py") + "\n"}  # the place does not matter
    for path in source_files(ROOT / "scripts" / "verdict.py"):
        copy = tmp_path / path.relative_to(ROOT)
        before = copy.read_text()
        copy.write_text(before + "\n")
        seen.add(printed())
        copy.write_text(before)
    assert len(seen) == 1 + len(source_files(ROOT / "scripts" / "verdict.py"))
    (tmp_path / "omf" / "unprocess.py").write_text("")
    assert printed() in seen
