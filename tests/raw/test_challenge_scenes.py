"""The patches of a scene of an AIM challenge are taken for the photo that they come from."""

import json

import numpy as np
import pytest
from conftest import ROOT
from scene_patches import CURVES, LEFT, cut, draw_photo, two_exposures

from omf.io.images import read_rgb
from omf.raw.challenge_scenes import (
    PATCHES,
    analyse_scene,
    border_steps,
    complete_scenes,
    count_steps,
    group_by_scene,
    group_patches,
    is_patch,
    join_patches,
    scene_line,
    summarise_scene,
)

SHARED = ROOT.parent / "shared"  # photos that may not be redistributed


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return draw_photo()


def test_names_of_patches():
    scene = [f"IMG_7_{number}" for number in range(PATCHES)]
    others = ["7_48", "7_-1", "7_01", "7_²", "_3", "7", "IMG_7_", "8_5"]
    assert group_by_scene(others + scene) == {"8": {5: "8_5"}, "IMG_7": dict(enumerate(scene))}
    assert complete_scenes(others + scene[::-1]) == {"IMG_7": scene}
    assert complete_scenes(scene[1:]) == {}


def test_only_pictures_of_the_challenges_are_patches():
    assert all(is_patch(np.zeros((side, side, 3), np.uint8)) for side in (504, 496))
    for shape, dtype in (((504, 504), np.uint16), ((504, 496), np.uint8), ((3024, 4032), np.uint8)):
        assert not is_patch(np.zeros((*shape, 3), dtype))


@pytest.mark.parametrize("curves", [None, CURVES])
def test_photos_are_put_together_without_their_curves(photo, curves):
    scene = analyse_scene(cut(photo, curves))
    assert (scene.curves, scene.photos) == (curves, [0] * PATCHES)
    joined = join_patches(dict(enumerate(scene.patches)))
    assert np.abs(joined.astype(int) - photo).max() <= (3 if curves else 0)
    scene = analyse_scene(two_exposures(photo, curves))
    assert (scene.curves, scene.photos) == (curves, [0 if left else 4 for left in LEFT])


def test_exposures_in_a_chequerboard_are_judged_apart(photo):
    bright, dark = cut(photo), two_exposures(photo)
    mixed = [(dark if sum(divmod(number, 8)) % 2 else bright)[number] for number in range(PATCHES)]
    assert len(set(analyse_scene(mixed[::-1]).photos)) > 8


def test_curves_that_leave_most_steps_are_not_undone(photo, monkeypatch):
    """As of exposures that look like curves."""
    patches = two_exposures(photo)
    monkeypatch.setattr("omf.raw.challenge_scenes.find_curves", lambda patches: [0] * PATCHES)
    scene = analyse_scene(patches)
    assert scene.curves is None and scene.patches == patches


def test_a_single_border_without_a_step_does_not_join_two_photos(photo):
    steps = border_steps(cut(photo))
    across = [border for border in steps if LEFT[border[0]] != LEFT[border[1]]]
    halves = [0 if left else 4 for left in LEFT]
    for smooth, expected in ((1, halves), (2, halves), (3, [0] * PATCHES)):  # of six borders
        sizes = dict(zip(across, smooth * [0.05] + (6 - smooth) * [0.5], strict=True))
        assert group_patches(dict.fromkeys(steps, 0.0) | sizes) == expected


def test_unrelated_pictures_are_left_as_they_are():
    pictures = [cut(draw_photo(16, seed=seed), CURVES)[seed] for seed in range(PATCHES)]
    scene = analyse_scene(pictures)
    assert (scene.curves, scene.photos) == (None, list(range(PATCHES)))
    assert all(np.array_equal(*pair) for pair in zip(scene.patches, pictures))


def test_a_white_sky_and_an_edge_on_a_border_do_not_divide_a_photo(photo):
    edged = photo.copy()
    shadow = np.exp(-(((np.arange(80, 192) - 130) / 24) ** 2))[:, None] * np.linspace(0.7, 0, 128)
    edged[80:, 128:] = (edged[80:, 128:] * (1 - shadow[..., None])).astype(np.uint8)  # as of a wall's corner
    edged[:80] = 255  # the borders in it tell nothing
    assert count_steps(border_steps(cut(edged))) > 0
    assert analyse_scene(cut(edged)).photos == [0] * PATCHES


def test_the_nearest_patch_fills_a_gap():
    patches = {number: np.full((2, 2, 3), number, np.uint8) for number in (0, 9, 47)}
    codes = join_patches(patches)[::2, ::2, 0]
    assert codes.shape == (6, 8) and set(codes.ravel()) == {0, 9, 47}
    assert (codes[0, 0], codes[1, 1], codes[2, 2], codes[5, 7], codes[4, 6]) == (0, 9, 9, 47, 47)


def test_the_line_about_a_scene():
    record = {"patches": [], "curves": CURVES, "photos": [0] * PATCHES}
    assert scene_line("7", summarise_scene(record)) == (
        f"scene 7: extra tone curves {'ABBABA' * 8} undone, judged as one photo"
    )
    for photos, words in (([0, 4], "2 photos"), (range(PATCHES), "each patch judged alone")):
        summary = summarise_scene({"curves": None, "photos": list(photos)})
        assert scene_line("7", summary) == f"scene 7: no extra tone curves, {words}"


@pytest.mark.skipif(not (SHARED / "real").is_dir(), reason="needs the challenge's photos")
def test_the_scenes_of_the_challenge_are_one_photo_each():
    known = json.loads((SHARED / "real/s7_tone_curves.json").read_text())
    for scene in ("10", "30", "78", "86"):  # with dark and with white patches, and an edge along a border
        patches = [read_rgb(SHARED / f"s7/{scene}_{number}.jpg") for number in range(PATCHES)]
        assert all(map(is_patch, patches))
        _, curves, photos = analyse_scene(patches)
        assert photos == [0] * PATCHES, scene
        assert (curves is not None) == (scene in known), scene
