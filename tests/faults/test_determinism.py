"""The same photos give the same bytes in any environment, with the shipped networks and on one machine."""

import os
import shutil
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run, snakemake

PHOTOS = ("coffee.jpg", "leaves_odd.jpg", "night_tall.tif")
EVERYTHING = Path(__file__).parent / "everything.py"
TIME_ZONE = {"TZ": "Pacific/Auckland"}
ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}  # written by default
ORDER_OF_SETS = {"PYTHONHASHSEED": "1"}


def files_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def everything(
    out: Path, photos: list[Path], threads: int = 2, cwd: Path = ROOT, **environment: str
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
def reference(tmp_path_factory, photos) -> dict[str, bytes]:
    files = everything(tmp_path_factory.mktemp("reference"), photos)
    assert len(files) == 8 * len(photos) + (len(photos) + 2) + 3 + 1  # formats, entry, scores, page
    return files


def test_the_environment_does_not_change_a_byte(tmp_path, photos, reference):
    """Change order, folder and date of the photos, working folder, time zone, language and hash seed."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    copies = [Path(shutil.copy(photo, folder)) for photo in reversed(photos)]
    for copy in copies:
        os.utime(copy, (10**9, 10**9))
    names = [Path(copy.name) for copy in copies]
    files = everything(tmp_path / "out", names, cwd=folder, **TIME_ZONE, **ASCII, **ORDER_OF_SETS)
    assert files.keys() == reference.keys()
    assert [name for name in files if files[name] != reference[name]] == []


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3, 8, 16])
def test_threads_change_values_by_one_count_at_most(thorough, tmp_path, photos, reference, threads):
    """Allow one count in at most 5 values of 10,000: threads split sums, which changes their order."""
    if threads != 3 and not thorough:
        pytest.skip("needs --thorough")
    assert everything(tmp_path / "out", photos, threads).keys() == reference.keys()
    for photo in photos:
        expected = np.load(BytesIO(reference[f"npy/{photo.stem}.npy"])).astype(int)
        difference = np.abs(np.load(tmp_path / "out" / "npy" / f"{photo.stem}.npy") - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() <= 5e-4


def test_the_shard_size_does_not_change_the_entry(thorough, tmp_path, photos):
    """Run the workflow with noise; compare all but measured times. tests/workflow/ has a smaller test."""
    if not thorough:
        pytest.skip("needs --thorough")
    (tmp_path / "noise.yaml").write_text("noise: {iso: 800}\n")
    settings = {"images": photos[0].parent, "ground_truth": ROOT / "test_raw", "device": "cpu"}
    outputs = []
    with pytest.MonkeyPatch.context() as patch:
        for cores, shard_size in ((2, 256), (1, 1)):
            folder = tmp_path / str(cores)
            folder.mkdir()
            options = ("--cores", cores, "--configfile", tmp_path / "noise.yaml")
            result = snakemake(folder, *options, **settings | {"shard_size": shard_size})
            assert result.returncode == 0, result.stderr
            outputs.append(files_of(folder / "submission"))
            with zipfile.ZipFile(folder / "submission" / "submission.zip") as archive:
                archived = {name: archive.read(name) for name in archive.namelist()}
            assert archived.items() <= outputs[-1].items()
            patch.setenv("TZ", TIME_ZONE["TZ"])  # for the second run
    names = {f"{Path(name).stem}.npy" for name in PHOTOS} | {"scores.json", "scores.csv"}
    assert {name: outputs[0][name] for name in names} == {name: outputs[1][name] for name in names}
    for name, measured in (("readme.txt", b"runtime per image"), ("scores.txt", b"ExtraRuntime")):
        first, second = (
            [line for line in files[name].splitlines() if not line.startswith(measured)] for files in outputs
        )
        assert first == second and len(first) >= 3
