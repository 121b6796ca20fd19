"""Steps rerun only when a file that their results depend on changes, and dry runs change nothing."""

import os
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT, snakemake
from container.clones import copy_photos, make_clone
from workflow_runs import finish, planned

from omf.models.registry import find_model
from omf.pipeline import dependencies
from omf.pipeline.dependencies import fingerprint, imported_files, source_files

STEPS = ("preprocess", "infer", "mosaic", "evaluate", "package", "report", "check_problems")
TEMPORARY = ("preprocess", "infer", "mosaic")  # mosaic deletes the outputs of the first two
CONSUMERS = {  # the steps that read the outputs of a step
    "preprocess": ("infer", "report"),
    "infer": ("mosaic", "package", "report"),
    "mosaic": ("evaluate", "package", "report"),
    "evaluate": ("report",),
    "report": ("check_problems",),
}
SETTINGS = {"images": "photos", "ground_truth": ROOT / "test_raw", "device": "cpu", "model": "unprocess"}


def with_consumers(steps: set[str]) -> set[str]:
    """Return the given steps and all steps that must rerun with them."""
    needed = steps | (set(TEMPORARY) if steps & set(TEMPORARY) else set())
    return needed.union(
        *(
            with_consumers({consumer})
            for step in needed
            for consumer in CONSUMERS.get(step, ())
            if consumer not in TEMPORARY
        )
    )


def known_files(step: str) -> set[Path]:
    return {path.relative_to(ROOT) for path in source_files(ROOT / "scripts" / f"{step}.py")}


class Program:
    """A copy of the program, and a finished run of one photo whose jobs have logged their imports."""

    def __init__(self, folder: Path):
        self.root, self.folder = make_clone(folder / "program"), folder / "run"
        self.environment = {"PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        self.run(self.folder)

    def call(self, function: Callable, folder: Path, model: str = "unprocess", **environment: str) -> object:
        """Call a function of `workflow_runs` for this copy."""
        with pytest.MonkeyPatch.context() as patch:
            for key, value in (self.environment | environment).items():
                patch.setenv(key, value)
            return function(folder, root=self.root, **SETTINGS | {"model": model})

    def run(self, folder: Path, model: str = "unprocess") -> None:
        copy_photos(folder / "photos", ["coffee.jpg"])
        self.call(finish, folder, model, PYTHONPROFILEIMPORTTIME="1")

    def reruns(self, name: str, content: bytes | None = None) -> set[str]:
        """Return the steps that Snakemake plans after a change of one file, by default of an empty line."""
        path = self.root / name
        before = path.read_bytes()
        path.write_bytes(content or before + b"\n")
        try:
            return self.call(planned, self.folder).keys() & set(STEPS)
        finally:
            path.write_bytes(before)

    def changed_fingerprints(self, names: list[str]) -> dict[str, set[str]]:
        """Return the steps whose fingerprint changes with an empty line at the end of each file."""
        before, changed = self.fingerprints(), {}
        for name in names:
            content = (self.root / name).read_bytes()
            (self.root / name).write_bytes(content + b"\n")
            after = self.fingerprints()
            (self.root / name).write_bytes(content)
            changed[name] = {step for step in STEPS if after[step] != before[step]}
        return changed

    def fingerprints(self) -> dict[str, str]:
        return {step: fingerprint(self.root / "scripts" / f"{step}.py") for step in STEPS}


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Program:
    return Program(tmp_path_factory.mktemp("changes"))


@pytest.mark.parametrize("model", ["unprocess", pytest.param("samsung_s7", marks=pytest.mark.slow)])
def test_every_module_that_a_step_loads_is_a_known_dependency(tmp_path, program, model):
    """Compare with Python's import log, which the jobs write to their log files."""
    folder = program.folder
    if model != "unprocess":
        folder = tmp_path / "run"
        program.run(folder, model)
    logs = folder / "results" / "logs"
    for step in STEPS:
        log = next(logs.glob(f"{step}/*.log"), logs / f"{step}.log")
        loaded = re.findall(r"^import time: .*\| +(omf[\w.]*)$", log.read_text(), re.MULTILINE)
        assert "omf.utils.errors" in loaded, log
        for name in loaded:
            path = Path(*name.split("."))
            files = {path.with_suffix(".py"), path / "__init__.py"}
            assert files & known_files(step), f"{step} loads {name}"


QUICK = ["omf/raw/isp.py", "omf/report/templates/report.js", "cameras/samsung_s7.yaml"]


@pytest.mark.parametrize(
    "each", [pytest.param(False, id="some"), pytest.param(True, id="each", marks=pytest.mark.slow)]
)
def test_a_change_of_the_program_reruns_the_dependent_steps(program, monkeypatch, each):
    names = [
        str(path.relative_to(program.root))
        for place in ("omf", "scripts", "cameras")
        for path in sorted((program.root / place).rglob("*"))
        if path.is_file()
    ]
    assert len(names) > 60
    depends = {step: {str(path) for path in known_files(step)} for step in STEPS}
    dependents = {name: {step for step in STEPS if name in depends[step]} for name in names}
    tried = QUICK
    if each:
        expected = {step: fingerprint(ROOT / "scripts" / f"{step}.py") for step in STEPS}
        monkeypatch.setattr(dependencies, "PACKAGE", program.root / "omf")
        monkeypatch.setattr(dependencies, "imported_files", cache(imported_files.__wrapped__))
        assert program.fingerprints() == expected  # the location does not matter
        assert program.changed_fingerprints(names) == dependents
        # Snakemake sees the fingerprint of each step, and profiles of cameras
        tried = [*QUICK, *(f"scripts/{step}.py" for step in STEPS), "cameras/huawei_p20.yaml"]
    dependents["cameras/samsung_s7.yaml"] = {"infer", "mosaic", "evaluate"}
    assert {name: program.reruns(name) for name in tried} == {
        name: with_consumers(dependents[name]) for name in tried
    }
    assert program.call(planned, program.folder) == {}


@pytest.mark.slow
def test_a_change_of_models_yaml_reruns_the_steps_that_quote_it(program):
    listing = (ROOT / "trained_models" / "models.yaml").read_text()
    changed = listing.replace(find_model("unprocess").description, "another one")
    reruns = program.reruns("trained_models/models.yaml", changed.encode())
    assert reruns == {"package", "report", "check_problems"}


def state(folder: Path) -> dict[str, tuple]:
    """Return time and content of all files of a run, except Snakemake's own logs and metadata."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for place in ("results", "submission", ".snakemake/locks")
        for path in (folder / place).rglob("*")
    }


WITHOUT_JOBS = [
    *(["-n"], ["--list"], ["--list-rules"], ["--lint"], ["--summary"], ["--detailed-summary"], ["--dag"]),
    *(["--rulegraph"], ["--report", "report.zip"], ["--touch", "--cores", "1"]),
]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory, program) -> Path:
    """Return a run after a power failure: with a lock, a partial file and truncated files."""
    folder = tmp_path_factory.mktemp("damaged") / "run"
    shutil.copytree(program.folder, folder)
    assert planned(folder, **SETTINGS) == {}
    raw = folder / "results" / "raw" / "s" / "coffee.npy"
    for path in (raw, folder / "submission" / "coffee.npy"):
        os.truncate(path, path.stat().st_size - 3)
    (folder / "submission" / ".readme.txt.7.part").write_text("half")
    locks = folder / ".snakemake" / "locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.input.lock").write_text("")
    (locks / "0.output.lock").write_text("results/raw/s\n")
    return folder


@pytest.mark.parametrize("arguments", WITHOUT_JOBS, ids=lambda arguments: arguments[0])
def test_options_that_run_no_jobs_change_no_file(damaged, arguments):
    before = state(damaged)
    names = ("submission/.readme.txt.7.part", ".snakemake/locks/0.output.lock", "results/raw/s/coffee.npy")
    assert before.keys() >= set(names)
    result = snakemake(damaged, *arguments, **SETTINGS)
    after = state(damaged)
    if arguments[0] == "--touch":  # changes times by design, and stops at the lock
        before, after = ({path: content for path, (_, content) in files.items()} for files in (before, after))
    assert after == before, result.stderr
    if arguments == ["-n"]:
        assert result.returncode == 0
        for path in ("results/raw/s", "submission/readme.txt"):
            assert f"{path}: not whole; a run makes it again" in result.stderr


@pytest.mark.slow
def test_unlocking_changes_the_locks_only(damaged, tmp_path):
    folder = shutil.copytree(damaged, tmp_path / "copy")
    before = state(folder)
    finish(folder, "--unlock", **SETTINGS)
    locks = {path for path in before if path.startswith(".snakemake/locks/")}
    assert len(locks) == 2
    assert state(folder) == {path: before[path] for path in before.keys() - locks}


def test_a_run_recreates_damaged_outputs(damaged, tmp_path):
    """Run in a copy, since the tests of this fixture may run in any order."""
    folder = shutil.copytree(damaged, tmp_path / "copy")
    result = finish(folder, **SETTINGS)
    assert "results/raw/s: not whole, so it is made again" in result.stderr
    assert not (folder / "submission" / ".readme.txt.7.part").exists()
    assert planned(folder, **SETTINGS) == {}
