"""Steps rerun only when a file that their results depend on changes, and dry runs change nothing."""

import os
import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, snakemake

from omf.models.registry import find_model
from omf.pipeline.dependencies import source_files

PROGRAM = ("Snakefile", "workflow", "profiles", "scripts", "omf", "cameras", "trained_models", "config.yaml")
STEPS = ("preprocess", "infer", "mosaic", "evaluate", "package", "report", "check_problems")
TEMPORARY = ("preprocess", "infer", "mosaic")  # mosaic deletes the outputs of the first two
CONSUMERS = {  # the steps that read the outputs of a step
    "preprocess": ("infer", "report"),
    "infer": ("mosaic", "package", "report"),
    "mosaic": ("evaluate", "package", "report"),
    "evaluate": ("report",),
    "report": ("check_problems",),
}


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


def planned(output: str) -> set[str]:
    """Return the steps in the job table of a dry run."""
    return set(re.findall(rf"^({'|'.join(STEPS)}) +\d+$", output, re.MULTILINE))


class Program:
    """A copy of the program, and a working folder."""

    def __init__(self, folder: Path, settings: dict):
        self.root, self.folder, self.settings = folder / "program", folder / "run", settings
        self.root.mkdir()
        self.folder.mkdir()
        for name in PROGRAM:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self.root / name)
        for cached in self.root.rglob("__pycache__"):
            shutil.rmtree(cached)

    def run(self, *arguments: object, **environment: str):
        with pytest.MonkeyPatch.context() as patch:
            for key, value in (
                {"PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"} | environment
            ).items():
                patch.setenv(key, value)
            result = snakemake(self.folder, *arguments, root=self.root, **self.settings)
        assert result.returncode == 0, result.stdout + result.stderr
        return result

    def reruns(self, path: Path) -> set[str]:
        """Return the steps that Snakemake plans after a change of one file of the program."""
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        try:
            return planned(self.run("-n", "--quiet", "rules").stdout)
        finally:
            path.write_bytes(content)


@pytest.fixture
def settings(photo_folder) -> dict:
    for name in ("chart.png", "leaves_odd.jpg", "night_tall.tif"):
        (photo_folder / name).unlink()
    return {"images": photo_folder, "ground_truth": ROOT / "test_raw", "device": "cpu", "model": "unprocess"}


@pytest.mark.parametrize("model", ["unprocess", pytest.param("samsung_s7", marks=pytest.mark.slow)])
def test_every_module_that_a_step_loads_is_a_known_dependency(tmp_path, settings, model):
    """Compare with Python's import log, which the jobs write to their log files."""
    program = Program(tmp_path, settings | {"model": model})
    program.run(PYTHONPROFILEIMPORTTIME="1")
    for step in STEPS:
        known = {path.relative_to(program.root.resolve()) for path in rebased(step, program.root.resolve())}
        log = next(
            (program.folder / "results" / "logs").glob(f"{step}/*.log"),
            program.folder / "results" / "logs" / f"{step}.log",
        )
        loaded = re.findall(r"^import time: .*\| +(omf[\w.]*)$", log.read_text(), re.MULTILINE)
        assert "omf.utils.errors" in loaded, log
        for name in loaded:
            path = Path(*name.split("."))
            assert path.with_suffix(".py") in known or path / "__init__.py" in known, f"{step} loads {name}"


def rebased(step: str, root: Path) -> list[Path]:
    return [root / path.relative_to(ROOT) for path in source_files(ROOT / "scripts" / f"{step}.py")]


QUICK = (
    "omf/raw/isp.py",
    "omf/inference/unprocess.py",
    "omf/report/templates/report.js",
    "cameras/samsung_s7.yaml",
)


@pytest.mark.parametrize(
    "files", [pytest.param(QUICK, id="some"), pytest.param(None, id="each", marks=pytest.mark.slow)]
)
def test_a_change_of_the_program_reruns_the_dependent_steps(tmp_path, settings, files):
    program = Program(tmp_path, settings)
    program.run()
    depends = {
        step: {str(path.relative_to(ROOT)) for path in source_files(ROOT / "scripts" / f"{step}.py")}
        for step in STEPS
    }
    for step in ("infer", "mosaic", "evaluate"):
        depends[step].add("cameras/samsung_s7.yaml")
    everything = [
        path
        for place in ("omf", "scripts", "cameras")
        for path in sorted((program.root / place).rglob("*"))
        if path.is_file()
    ]
    assert len(everything) > 60
    rerun, expected = {}, {}
    for path in [program.root / name for name in files] if files else everything:
        name = str(path.relative_to(program.root))
        rerun[name] = program.reruns(path)
        expected[name] = with_consumers({step for step in STEPS if name in depends[step]})
    assert rerun == expected
    assert planned(program.run("-n", "--quiet", "rules").stdout) == set()


@pytest.mark.slow
def test_a_change_of_models_yaml_reruns_the_steps_that_quote_it(tmp_path, settings):
    program = Program(tmp_path, settings)
    program.run()
    listing = program.root / "trained_models" / "models.yaml"
    description = find_model("unprocess").description
    listing.write_text(listing.read_text().replace(description, "another one"))
    assert planned(program.run("-n", "--quiet", "rules").stdout) == {"package", "report", "check_problems"}


def state(folder: Path) -> dict[str, tuple]:
    """Return time and content of all files of a run, except Snakemake's own logs and metadata."""
    places = ("results", "submission", ".snakemake/locks")
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for place in places
        for path in (folder / place).rglob("*")
    }


WITHOUT_JOBS = [
    ["-n"],
    ["--list"],
    ["--list-rules"],
    ["--lint"],
    ["--summary"],
    ["--detailed-summary"],
    ["--dag"],
    ["--rulegraph"],
    ["--report", "report.zip"],
    ["--touch", "--cores", "1"],
]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> tuple[Path, dict]:
    """Return a run after a power failure: with a lock, a partial file and truncated files."""
    folder = tmp_path_factory.mktemp("damaged")
    photos = folder / "photos"
    photos.mkdir()
    shutil.copy(ROOT / "test_rgb" / "hills.jpg", photos)
    settings = {"images": photos, "ground_truth": ROOT / "test_raw", "device": "cpu", "model": "unprocess"}
    assert snakemake(folder, **settings).returncode == 0
    raw = folder / "results" / "raw" / "s" / "hills.npy"
    for path in (raw, folder / "submission" / "hills.npy"):
        os.truncate(path, path.stat().st_size - 3)
    (folder / "submission" / ".readme.txt.7.part").write_text("half")
    locks = folder / ".snakemake" / "locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.input.lock").write_text("")
    (locks / "0.output.lock").write_text("results/raw/s\n")
    return folder, settings


@pytest.mark.parametrize("arguments", WITHOUT_JOBS, ids=lambda arguments: arguments[0])
def test_options_that_run_no_jobs_change_no_file(damaged, arguments):
    folder, settings = damaged
    before = state(folder)
    assert {
        "submission/.readme.txt.7.part",
        ".snakemake/locks/0.output.lock",
        "results/raw/s/hills.npy",
    } <= before.keys()
    result = snakemake(folder, *arguments, **settings)
    after = state(folder)
    if arguments[0] == "--touch":  # changes times by design, and stops at the lock
        before, after = ({path: content for path, (_, content) in files.items()} for files in (before, after))
    assert after == before, result.stderr
    if arguments == ["-n"]:
        assert result.returncode == 0
        for path in ("results/raw/s", "submission/readme.txt"):
            assert f"{path}: not whole; a run makes it again" in result.stderr


def test_a_run_recreates_damaged_outputs(damaged, tmp_path):
    """Run in a copy, since the tests of this fixture may run in any order."""
    folder = tmp_path / "copy"
    shutil.copytree(damaged[0], folder)
    result = snakemake(folder, **damaged[1])
    assert result.returncode == 0, result.stderr
    assert "results/raw/s: not whole, so it is made again" in result.stderr
    assert not (folder / "submission" / ".readme.txt.7.part").exists()
    assert "Nothing to be done" in snakemake(folder, **damaged[1]).stderr
