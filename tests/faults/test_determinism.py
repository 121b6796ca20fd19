"""The same photos give the same bytes, whatever surrounds the run. With the shipped networks, and on one machine."""

import os
import shutil
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run, snakemake

PHOTOS = ("hills.jpg", "leaves_odd.jpg", "night_tall.tif")
EVERYTHING = Path(__file__).parent / "everything.py"
USUAL_THREADS = 2
SURROUNDINGS = {
    "time zone": {"TZ": "Pacific/Auckland"},
    "language": {
        "LC_ALL": "C",
        "LANG": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
    },  # a Python that would write ASCII
    "order of sets": {"PYTHONHASHSEED": "1"},
}


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def everything(
    out: Path, photos: list[Path], threads: int = USUAL_THREADS, cwd: Path = ROOT, **environment: str
) -> dict[str, bytes]:
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
    result = run(sys.executable, EVERYTHING, out, *photos, cwd=cwd, **environment)
    assert result.returncode == 0, result.stderr
    return files_of(out)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    return [Path(shutil.copy(ROOT / "test_rgb" / name, folder)) for name in PHOTOS]


@pytest.fixture(scope="module")
def usual(tmp_path_factory, photos) -> dict[str, bytes]:
    found = everything(tmp_path_factory.mktemp("usual"), photos)
    assert len(found) == 7 * len(photos) + (len(photos) + 2) + 3 + 1  # formats, the entry, scores, the page
    return found


def differing(found: dict[str, bytes], usual: dict[str, bytes]) -> list[str]:
    assert found.keys() == usual.keys()
    return [name for name in found if found[name] != usual[name]]


def moved(photos: list[Path], folder: Path) -> list[Path]:
    """Copies of another date, in reverse order."""
    folder.mkdir()
    copies = [Path(shutil.copy(photo, folder)) for photo in reversed(photos)]
    for copy in copies:
        os.utime(copy, (10**9, 10**9))
    return copies


def test_nothing_around_a_run_changes_a_byte(tmp_path, photos, usual):
    """All at once: another order, folder and date of the photos, working folder, time zone, language and order of sets."""
    other = {key: value for changed in SURROUNDINGS.values() for key, value in changed.items()}
    copies = [Path(copy.name) for copy in moved(photos, tmp_path / "elsewhere")]
    found = everything(tmp_path / "out", copies, cwd=tmp_path / "elsewhere", **other)
    assert differing(found, usual) == []


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3, 8, 16])
def test_threads_change_a_count_at_most(thorough, tmp_path, photos, usual, threads):
    """Of no more than 5 values in 10,000: sums are split among threads, and so added in another order."""
    if threads != 3 and not thorough:
        pytest.skip("with --thorough")
    assert everything(tmp_path / "out", photos, threads).keys() == usual.keys()
    for photo in photos:
        expected = np.load(BytesIO(usual[f"npy/{photo.stem}.npy"])).astype(int)
        difference = np.abs(np.load(tmp_path / "out" / "npy" / f"{photo.stem}.npy") - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() <= 5e-4


@pytest.mark.parametrize("changed", SURROUNDINGS)
def test_each_surrounding_by_itself(thorough, tmp_path, photos, usual, changed):
    if not thorough:
        pytest.skip("with --thorough")
    assert differing(everything(tmp_path / "out", photos, **SURROUNDINGS[changed]), usual) == []


def test_shards_change_nothing_of_an_entry(thorough, tmp_path, photos):
    """The workflow, with noise; of readme.txt and scores.txt all but the measured time. A smaller one is in tests/workflow/."""
    if not thorough:
        pytest.skip("with --thorough")
    (tmp_path / "noise.yaml").write_text("noise: {iso: 800}\n")
    settings = {"images": photos[0].parent, "ground_truth": ROOT / "test_raw", "device": "cpu"}
    left = []
    with pytest.MonkeyPatch.context() as patch:
        for cores, shard_size in ((2, 256), (1, 1)):
            folder = tmp_path / str(cores)
            folder.mkdir()
            result = snakemake(
                folder,
                "--cores",
                cores,
                "--configfile",
                tmp_path / "noise.yaml",
                **settings | {"shard_size": shard_size},
            )
            assert result.returncode == 0, result.stderr
            left.append(files_of(folder / "submission"))
            with zipfile.ZipFile(folder / "submission" / "submission.zip") as archive:
                assert {name: archive.read(name) for name in archive.namelist()}.items() <= left[-1].items()
            for key, value in SURROUNDINGS["time zone"].items():  # of the second run
                patch.setenv(key, value)
    names = {f"{Path(name).stem}.npy" for name in PHOTOS} | {"scores.json", "scores.csv"}
    assert {name: left[0][name] for name in names} == {name: left[1][name] for name in names}
    for name, measured in (("readme.txt", b"runtime per image"), ("scores.txt", b"ExtraRuntime")):
        first, second = (
            [line for line in files[name].splitlines() if not line.startswith(measured)] for files in left
        )
        assert first == second and len(first) >= 3
