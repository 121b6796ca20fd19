"""The extra tone curves of AIM 2022's photos are found by the borders of patches, and inverted."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scene_patches import CURVES, SIZE, cut, draw_photo, write_scene

from omf.io.images import read_rgb
from omf.raw import isp
from omf.raw.challenge_scenes import PATCHES as NUMBER
from omf.raw.extra_curves import PATCH_COLUMNS, PATCH_ROWS, find_curves, invert_curve
from tests.conftest import ROOT, run

SHARED = ROOT.parent / "shared"  # photos that may not be redistributed
choices = st.lists(st.sampled_from([0, 1]), min_size=NUMBER, max_size=NUMBER)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return draw_photo()


@given(curves=choices.filter(lambda curves: 8 <= sum(curves) <= 40))
@settings(max_examples=10)
def test_finds_any_mixture_of_curves(photo, curves):
    assert find_curves(cut(photo, curves)) == curves


def test_patches_are_compared_where_they_meet():
    """Brightness rises in one patch and falls in the next, so that opposite borders differ."""
    rows, columns = (np.abs(np.arange(count * SIZE) / SIZE % 2 - 1) for count in (PATCH_ROWS, PATCH_COLUMNS))
    grey = 0.3 + 0.2 * rows[:, None, None] + 0.2 * columns[:, None]
    assert find_curves(cut(isp.to_8_bit(grey.repeat(3, axis=2)), CURVES)) == CURVES


@pytest.mark.parametrize("curve", [0, 1])
def test_inverts_curves_to_the_precision_of_8_bits(curve):
    codes = np.arange(256, dtype=np.uint8)
    changed = isp.to_8_bit(isp.EXTRA_CURVES[curve](codes / np.float32(255)))
    slope = np.gradient(changed.astype(float))
    error = np.abs(invert_curve(changed, curve).astype(int) - codes)
    steep = slope >= 1
    assert steep.sum() > 50 and error[steep].max() <= 1
    again = isp.to_8_bit(isp.EXTRA_CURVES[curve](invert_curve(changed, curve) / np.float32(255)))
    # a code more or less before a slope of up to 4 (A, in the darkest tones)
    assert np.abs(again.astype(int) - changed).max() <= 2


def test_tool_removes_curves_copies_the_rest_and_goes_on_after_a_damaged_patch(photo, tmp_path):
    def remove_curves(out: Path) -> subprocess.CompletedProcess:
        return run(sys.executable, ROOT / "tools/remove_extra_curves.py", folder, out)

    folder, out = tmp_path / "photos", tmp_path / "out"
    for scene, curves in (("6", [0, 1, 1] * 16), ("7", [0, 1, 1] * 16), ("8", None)):
        write_scene(folder, scene, cut(photo, curves))
    Image.fromarray(photo).save(folder / "9_0.png")  # a scene without its other patches
    Image.fromarray(photo).save(folder / "whole.png")
    result = remove_curves(out)
    assert result.returncode == 0, result.stderr
    for line in ("scene 7: " + "ABB" * 16, "scene 8: no curves", "scene 9: 1 of 48 patches"):
        assert line in result.stderr
    assert len(list(out.glob("[!.]*"))) == 146
    for name in ("8_11.png", "9_0.png", "whole.png"):
        assert (out / name).read_bytes() == (folder / name).read_bytes()
    for number, patch in enumerate(cut(photo)):
        difference = np.abs(read_rgb(out / f"7_{number}.png").astype(int) - patch)
        assert difference.max() <= 3, number  # half a code, where the slope is 1/4 or more, and rounding

    (folder / "6_5.png").write_bytes(b"damaged")
    result = remove_curves(tmp_path / "again")
    assert result.returncode != 0 and "6_5.png" in result.stderr and "see above: scene 6" in result.stderr
    assert (tmp_path / "again" / "6_0.png").read_bytes() == (folder / "6_0.png").read_bytes()
    assert (tmp_path / "again" / "7_0.png").read_bytes() == (out / "7_0.png").read_bytes()
    result = remove_curves(folder)
    assert result.returncode != 0 and "give another folder" in result.stderr


@pytest.mark.skipif(not (SHARED / "real").is_dir(), reason="needs the challenge's photos")
def test_finds_the_curves_of_the_challenge():
    known = json.loads((SHARED / "real/s7_tone_curves.json").read_text())
    scenes = {path.stem.partition("_")[0] for path in (SHARED / "s7").glob("*_0.jpg")}
    assert len(scenes) == 10
    for scene in scenes:
        curves = find_curves([read_rgb(SHARED / f"s7/{scene}_{number}.jpg") for number in range(NUMBER)])
        if scene in known:
            # the list has a few doubtful entries; removing these curves leaves no seam
            agreement = sum("AB"[a] == b for a, b in zip(curves, known[scene], strict=True))
            assert agreement >= 46, scene
        else:
            assert curves is None, scene
