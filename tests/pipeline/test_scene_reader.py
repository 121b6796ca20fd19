"""Scenes in `predict` and in the separate steps of the pipeline."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scene_patches import CURVES, LEFT, SIZE, cut, draw_photo, two_exposures, write_scene

from omf.evaluation.scores import Item, score_image
from omf.inference.base import Picture
from omf.inference.fusion import Fusion
from omf.inference.inverse import Inverse
from omf.io.images import read_rgb
from omf.io.raw_formats import RawFormat, Writer
from omf.models.checkpoints import load_networks
from omf.models.registry import find_model
from omf.pipeline import predict as predicting
from omf.pipeline.infer import infer
from omf.pipeline.mosaic import write_mosaics
from omf.pipeline.predict import predict
from omf.pipeline.preprocess import preprocess
from omf.pipeline.scene_reader import find_curves_of_patches
from omf.raw import challenge_scenes
from omf.raw.bayer import to_challenge_format
from omf.raw.camera import load_camera
from omf.raw.challenge_scenes import PATCHES, complete_scenes, curves_of_patches, join_patches
from omf.raw.extra_curves import invert_curve
from omf.raw.overexposure import overexposure_mask

CAMERA = load_camera("samsung_s7")


@pytest.fixture(autouse=True)
def small_patches(monkeypatch):
    monkeypatch.setattr(challenge_scenes, "PATCH_SIDES", (SIZE, *challenge_scenes.PATCH_SIDES))


@pytest.fixture
def fuse(tiny_base_model) -> Fusion:
    oe, noe, base, _ = load_networks(find_model(str(tiny_base_model)))
    return Fusion(oe, noe, torch.device("cpu"), base=base)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return draw_photo(low=0.35)  # with overexposed pixels


def writer(folder: Path, kind: str = "npy") -> Writer:
    return Writer(folder, RawFormat(kind), CAMERA, "some_model")


def written(photos: list[Path], method, out: Path, kind: str = "npy", **options) -> dict[str, bytes]:
    """Return the files that `predict` writes."""
    out.mkdir()
    assert predict(photos, method, writer(out, kind), **options) == []
    return files_in(out)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("[!.]*")}


@pytest.fixture
def reads(monkeypatch) -> Counter:
    """Return how often `predict` reads each photo."""
    reads = Counter()
    monkeypatch.setattr(predicting, "read_rgb", lambda path: reads.update([path.name]) or read_rgb(path))
    return reads


def test_a_scene_is_judged_as_the_photo_put_together(tmp_path, photo, fuse):
    paths = write_scene(tmp_path / "photos", "7", cut(photo))
    raws = written(paths, fuse, tmp_path / "raw")
    assert len(raws) == PATCHES
    whole = fuse(photo, overexposure_mask(photo))
    alone = written(paths, fuse, tmp_path / "alone", scenes="separate")
    for number, patch in enumerate(cut(photo)):
        mask = overexposure_mask(patch)
        raw = np.load(tmp_path / "raw" / f"7_{number}.npy")
        expected = fuse.demosaiced([Picture(patch, mask, whole=photo)])()[0]
        assert np.array_equal(raw, to_challenge_format(expected))
        place = challenge_scenes.window(number, SIZE, SIZE)
        assert np.array_equal(expected[~mask], whole[place][~mask])  # OE sees other surroundings in a patch
    assert raws != alone
    assert len(fuse.judgements) <= 1  # that of the array of this test


@pytest.mark.parametrize(
    ("curves", "cutting"), [(CURVES, cut), (None, two_exposures)], ids=["curves", "exposures"]
)
def test_the_steps_and_predict_agree_in_any_order(tmp_path, photo, fuse, reads, curves, cutting):
    folder = tmp_path / "photos"
    paths = write_scene(folder, "7", cutting(photo, curves)) + write_scene(folder, "8", cut(photo))
    Image.fromarray(photo).save(folder / "plain.png")
    paths.append(folder / "plain.png")
    named = {path.stem: path for path in paths}
    record = preprocess(paths, tmp_path / "decoded", complete_scenes(named))
    assert record["problems"] == []
    assert record["scenes"]["7"]["curves"] == curves
    assert record["scenes"]["7"]["photos"] == [0 if curves or left else 4 for left in LEFT]
    assert infer(tmp_path / "decoded", tmp_path / "demosaiced", fuse, record["scenes"])["problems"] == []
    known = curves_of_patches(record["scenes"])
    for kind in ("dng", "npy"):
        assert write_mosaics(tmp_path / "demosaiced", [writer(tmp_path / kind, kind)], named, known) == []
        direct = written(paths, fuse, tmp_path / f"direct_{kind}", kind)
        assert direct == files_in(tmp_path / kind)
    assert set(reads.values()) == {2}  # once for each format
    shuffled = [paths[index] for index in np.random.default_rng(0).permutation(len(paths))]
    assert written(shuffled, fuse, tmp_path / "shuffled") == direct
    # a file of the user is in the way of the others, or a run was interrupted before these
    rest = written(shuffled[:30], fuse, tmp_path / "rest", others=shuffled[30:])
    assert rest == {f"{path.stem}.npy": direct[f"{path.stem}.npy"] for path in shuffled[:30]}


@pytest.mark.parametrize("fault", ["damaged", "missing", "larger", "all larger"])
def test_other_scenes_are_plain_photos(tmp_path, photo, fuse, reads, fault):
    folder, problems, results = tmp_path / "photos", [], []
    paths = write_scene(folder, "7", cut(photo, CURVES))
    match fault:
        case "damaged":
            paths[5].write_bytes(b"damaged")
        case "missing":
            paths.pop(5).unlink()
        case "larger":
            Image.fromarray(photo).save(paths[5])
        case "all larger":
            paths = write_scene(folder, "7", cut(draw_photo(2 * SIZE), CURVES))
    for scenes in ("auto", "separate"):
        (tmp_path / scenes).mkdir()
        problems.append(predict(paths, fuse, writer(tmp_path / scenes), scenes=scenes))
        results.append(files_in(tmp_path / scenes))
    assert results[0] == results[1]
    assert len(results[0]) == PATCHES - (fault in ("damaged", "missing"))
    assert problems[0] == problems[1]
    assert len(problems[0]) == (fault == "damaged")
    assert set(reads.values()) == {2}  # once for each setting


def test_methods_without_a_base_network_and_scores_take_patches_without_curves(tmp_path, photo):
    method, patches = Inverse(CAMERA), cut(photo, CURVES)
    paths = write_scene(tmp_path / "photos", "7", patches)
    written(paths, method, tmp_path / "raw")
    for number in (0, 1):
        expected = to_challenge_format(method(invert_curve(patches[number], CURVES[number])))
        assert np.array_equal(np.load(tmp_path / "raw" / f"7_{number}.npy"), expected)
    curves = find_curves_of_patches({path.stem: path for path in paths})
    assert curves == {f"7_{number}": curve for number, curve in enumerate(CURVES)}
    raw, path = tmp_path / "raw/7_0.npy", paths[0]
    undone, _ = score_image(Item("7_0", raw, photo=path, curve=curves["7_0"]), CAMERA)
    (without,) = write_scene(tmp_path / "without", "7", [invert_curve(patches[0], CURVES[0])])
    expected, _ = score_image(Item("7_0", raw, photo=without), CAMERA)
    assert undone == expected | {"photo": str(path)}


def test_missing_patches_hardly_change_the_judgement(photo, fuse):
    patches = dict(enumerate(cut(photo)))
    part = join_patches({number: patch for number, patch in patches.items() if number % 8 < 5})
    mask = overexposure_mask(patches[0])
    whole, of_part, alone = (
        fuse.demosaiced([Picture(patches[0], mask, whole=judged)])()[0] for judged in (photo, part, None)
    )
    assert np.abs(of_part - whole).mean() < np.abs(alone - whole).mean() / 2
