"""Ground truth from packed RAW and from camera RAW."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from camera_dng import bayer_of, photo_of, scene, write_dng, write_pair
from PIL import Image

from omf.evaluation.ground_truth import is_simulated, list_ground_truth, read_ground_truth
from omf.evaluation.metrics import psnr
from omf.evaluation.scores import Item, score_image
from omf.io.camera_raw import read_camera_raw
from omf.io.images import read_rgb
from omf.raw.bayer import demosaic, from_challenge_counts, pack, to_challenge_counts, to_challenge_format
from omf.raw.camera import load_camera
from omf.report.panels import make_panels
from omf.utils.errors import InputError

pytest.importorskip("rawpy")

ORDERS = ("RGGB", "GRBG", "GBRG", "BGGR")
CAMERA = load_camera("samsung_s7")


def truth_of(folder: Path, rgb: np.ndarray) -> np.ndarray:
    """Return the ground truth, a.dng, of a photo's reconstruction."""
    return read_ground_truth(folder / "a.dng", (rgb.shape[0] // 2, rgb.shape[1] // 2, 4), rgb)


def score_of(folder: Path) -> tuple[dict, list[str]]:
    return score_image(Item("a", folder / "a.npy", folder / "a.dng", folder / "a.jpg"), CAMERA)


def assert_shows(truth: np.ndarray, linear: np.ndarray) -> None:
    """Assert that ground truth shows a scene, to the precision of demosaicing."""
    assert psnr(from_challenge_counts(truth), from_challenge_counts(ideal(linear))) > 30


def ideal(linear: np.ndarray) -> np.ndarray:
    """Return the counts (H/2, W/2, 4) of an RGGB sensor whose first pixel is the first of the scene."""
    height, width = (side // 2 * 2 for side in linear.shape[:2])
    return pack(to_challenge_counts(bayer_of(linear[:height, :width])))


def test_packed_raw_takes_precedence_over_camera_raw_of_the_same_name(tmp_path: Path):
    same_shot = "PXL_1.RAW-02.ORIGINAL.dng"
    for name in ("a.npy", "a.dng", "b.DNG", "c.nef", "c.CR2", "d.jpg", ".e.dng", ".f.npy", same_shot):
        (tmp_path / name).touch()
    found = list_ground_truth(tmp_path, ["PXL_1.RAW-01.COVER", "b"])
    assert {name: path.name for name, path in found.items()} == {
        "a": "a.npy",
        "b": "b.DNG",
        "c": "c.CR2",
        "PXL_1.RAW-01.COVER": same_shot,
    }
    with pytest.raises(InputError, match="nowhere: no such folder"):
        list_ground_truth(tmp_path / "nowhere")


def test_without_rawpy_camera_raw_is_rejected_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    for name in ("a.npy", "a.dng"):
        (tmp_path / name).touch()
    assert list_ground_truth(tmp_path) == {"a": tmp_path / "a.npy"}  # a.dng is not needed
    (tmp_path / "b.dng").touch()
    line = r"^camera RAW needs rawpy; install it with: pip install 'overexposure-mask-fusion\[raw\]'$"
    with pytest.raises(InputError, match=line):
        list_ground_truth(tmp_path)


@pytest.mark.parametrize("cfa", ORDERS)
@pytest.mark.parametrize(("height", "width"), [(120, 160), (121, 163)])
def test_camera_raw_of_the_photos_size_matches_pixel_for_pixel(
    tmp_path: Path, cfa: str, height: int, width: int
):
    linear = scene(0, height, width)
    counts = write_dng(tmp_path / "a.dng", bayer_of(linear, cfa), cfa)
    truth = read_ground_truth(tmp_path / "a.dng", (60, width // 2, 4), None)
    assert truth.shape == (60, width // 2, 4) and truth.dtype == np.uint16
    cropped = counts[:120, : width // 2 * 2].astype(np.float32)
    measured = pack(to_challenge_counts((cropped - 64) / (16383 - 64)))
    for site in range(4):
        if cfa[site] == "RGGB"[site]:
            np.testing.assert_array_equal(truth[..., site], measured[..., site])
    # the colours are at the right sites, including an odd last row and column
    assert_shows(truth, linear)


@pytest.mark.parametrize(
    ("cfa", "turns", "mirrored"),
    [("RGGB", 0, False), ("GRBG", 1, False), ("GBRG", 2, True), ("BGGR", 3, False)],
)
def test_cropped_and_turned_photos_are_registered(tmp_path: Path, cfa: str, turns: int, mirrored: bool):
    linear = write_pair(tmp_path, "a", turns=turns, cfa=cfa)
    rgb = read_rgb(tmp_path / "a.jpg")
    expected_scene = np.rot90(linear[3:-5, 6:-7], turns)
    expected_raw = np.rot90(demosaic(read_camera_raw(tmp_path / "a.dng").mosaic, cfa)[3:-5, 6:-7], turns)
    if mirrored:
        rgb, expected_scene, expected_raw = (array[:, ::-1] for array in (rgb, expected_scene, expected_raw))
    truth = truth_of(tmp_path, rgb)
    np.testing.assert_array_equal(truth, to_challenge_format(expected_raw))
    assert_shows(truth, expected_scene)


def test_a_photo_whose_first_pixel_is_red_has_the_measured_values(tmp_path: Path):
    linear = write_pair(tmp_path, "a", cfa="BGGR")  # the photo begins at row 3 and column 6
    rgb = read_rgb(tmp_path / "a.jpg")[:, 1:]
    truth = truth_of(tmp_path, rgb)
    bayer = read_camera_raw(tmp_path / "a.dng").mosaic
    assert linear.shape[:2] == bayer.shape
    np.testing.assert_array_equal(truth, pack(to_challenge_counts(bayer[3:-5, 7:-7])))


def truncate(folder: Path) -> None:
    (folder / "a.dng").write_bytes((folder / "a.dng").read_bytes()[:6000])


def other_scene(folder: Path) -> None:
    write_pair(folder / "other", "a", 2)
    shutil.copy(folder / "other" / "a.dng", folder)


def small_raw(folder: Path) -> None:
    write_dng(folder / "a.dng", bayer_of(scene(0, 40, 48)))


def smaller_raw(top: int, bottom: int, left: int, right: int) -> Callable[[Path], None]:
    """Return what cuts lines off a RAW whose photo ends 3, 5, 6 and 7 pixels from its edges."""

    def spoil(folder: Path) -> None:
        write_dng(folder / "a.dng", bayer_of(scene(0, 260, 340)[top : 260 - bottom, left : 340 - right]))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncate, "can't be decoded"),
        (other_scene, "photo and RAW don't match"),
        (small_raw, "registration needs 64 or more per side"),
        (
            smaller_raw(20, 20, 20, 20),
            "its photo extends 17 pixels beyond it; give a photo that lies within its RAW",
        ),
        (smaller_raw(4, 0, 0, 0), "its photo extends 1 pixel beyond it"),
        (smaller_raw(0, 20, 0, 0), "its photo extends 15 pixels beyond it"),
        (smaller_raw(0, 0, 20, 0), "its photo extends 14 pixels beyond it"),
        (smaller_raw(0, 0, 0, 20), "its photo extends 13 pixels beyond it"),
    ],
)
def test_unusable_ground_truth_is_reported_and_costs_only_its_own_scores(tmp_path: Path, spoil, message: str):
    write_pair(tmp_path, "a", cfa="RGGB")
    spoil(tmp_path)
    height, width = read_rgb(tmp_path / "a.jpg").shape[:2]
    np.save(tmp_path / "a.npy", np.full((height // 2, width // 2, 4), 300, np.uint16))
    record, problems = score_of(tmp_path)
    (problem,) = problems
    assert problem.startswith(f"{tmp_path / 'a.dng'}: ") and message in problem and "\n" not in problem
    assert "psnr" not in record and record["consistency_psnr"] > 0
    assert "rendered to match the photo" in make_panels(record)


def test_the_page_shows_the_registered_truth(tmp_path: Path):
    write_pair(tmp_path, "a", turns=1)
    rgb = read_rgb(tmp_path / "a.jpg")
    np.save(tmp_path / "a.npy", truth_of(tmp_path, rgb))
    record, problems = score_of(tmp_path)
    assert problems == [] and record["psnr"] == 999
    panels = make_panels(record)
    np.testing.assert_array_equal(panels["true RAW"], panels["predicted RAW"])


def test_another_size_needs_the_photo(tmp_path: Path):
    write_pair(tmp_path, "a")
    line = r"a\.dng: 340 x 260 pixels, but the reconstruction is 326 x 252; give the photo too"
    with pytest.raises(InputError, match=line):
        read_ground_truth(tmp_path / "a.dng", (126, 163, 4), None)


def test_a_bad_photo_does_not_cost_the_scores_of_raw_of_the_right_size(tmp_path: Path):
    write_dng(tmp_path / "a.dng", bayer_of(scene(0, 120, 160)))
    np.save(tmp_path / "a.npy", read_ground_truth(tmp_path / "a.dng", (60, 80, 4), None))
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg")
    record, problems = score_of(tmp_path)
    assert record["psnr"] == 999 and len(problems) == 1
    assert list(make_panels(record)) == ["predicted RAW", "true RAW", "error"]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize(("size", "cfa"), [((260, 340), "RGGB"), ((300, 300), "RGGB"), ((261, 341), "GRBG")])
def test_camera_raw_of_the_same_size_may_be_turned(tmp_path, size, cfa, turns, mirrored):
    """A camera may store its photo upside down, or a program turn it: neither changes the size."""
    linear = scene(0, *size)
    write_dng(tmp_path / "a.dng", bayer_of(linear, cfa), cfa)
    shown = np.rot90(linear[:, ::-1] if mirrored else linear, turns)
    assert_shows(truth_of(tmp_path, np.ascontiguousarray(photo_of(shown))), shown)


def test_a_photo_of_combined_pixels_is_named(tmp_path):
    """Phones with 48 megapixels combine 2 x 2 of them for the photo, and store all in the RAW."""
    linear = scene(0, 520, 680)
    write_dng(tmp_path / "a.dng", bayer_of(linear))
    photo = photo_of(linear.reshape(260, 2, 340, 2, 3).mean((1, 3)))
    words = "photo of 340 x 260, RAW of 680 x 520 pixels: the camera combined 2 x 2 pixels"
    with pytest.raises(InputError, match=words):
        read_ground_truth(tmp_path / "a.dng", (130, 170, 4), photo)


def test_a_dataset_says_whether_it_is_simulated(tmp_path):
    assert not is_simulated(tmp_path)
    for text in ('{"simulated": true}', '{"simulated": false}', '{"white_level": 1024}', "[]", "{"):
        (tmp_path / "dataset.json").write_text(text)
        assert is_simulated(tmp_path) is ("true" in text), text
