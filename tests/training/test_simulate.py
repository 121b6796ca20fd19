"""Simulated training pairs."""

import numpy as np
import pytest
from conftest import ROOT

from omf.raw.camera import load_camera
from omf.raw.overexposure import overexposure_mask
from omf.training.datasets import check_pairs, find_pairs
from omf.training.simulate import write_pairs
from omf.utils.errors import InputError


def test_pairs_from_the_command_line_form_a_dataset(tmp_path, call_omf):
    out = tmp_path / "pairs"
    options = ("--count", 5, "--size", 64, "--camera", "huawei_p20")
    result = call_omf("simulate", ROOT / "test_rgb" / "hopper.jpg", "-o", out, *options)
    assert result.returncode == 0, result.stderr
    dataset = check_pairs(find_pairs(out))
    assert dataset.problems == []
    assert len(dataset.pairs) == 5
    rgb, bayer = dataset.pairs[0].load()
    assert rgb.shape == (64, 64, 3)
    assert bayer.shape == (64, 64)
    described = call_omf("dataset", out, "--sheet", tmp_path / "sheet.png")
    assert described.returncode == 0, described.stderr
    assert "layout aim: 5 pairs" in described.stdout
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_pairs_also_after_an_interruption(tmp_path):
    camera = load_camera("generic_phone")
    for folder, counts in (("once", [6]), ("cut", [2, 6])):
        for count in counts:
            # drawn scenes depend on the count, so compare an interrupted call with a photo
            write_pairs([ROOT / "test_rgb" / "coffee.jpg"], camera, tmp_path / folder, count, 32, 5)
    names = sorted(path.name for path in (tmp_path / "once").glob("[!.]*"))
    assert len(names) == 13
    assert all(
        (tmp_path / "once" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes() for name in names
    )


def test_highlights_lose_information_in_the_photo_only(tmp_path):
    # a camera with a digital gain; that of the S7 is close to 1, where photo and RAW saturate together
    write_pairs([], load_camera("huawei_p20"), tmp_path, 24, 96, 0)
    inside = []
    for pair in find_pairs(tmp_path).pairs:
        rgb, bayer = pair.load()
        mask = overexposure_mask(rgb)
        mask[1::2], mask[:, ::2] = False, False  # one green plane
        if mask.sum() > 100:
            inside.append(np.unique(bayer[mask].round(2)).size)
    assert len(inside) >= 5
    assert np.median(inside) > 10  # many RAW levels where the photo is saturated


@pytest.mark.parametrize(
    ("photos", "size", "message"),
    [
        ([], 33, "size 33: give an even number"),
        ([ROOT / "test_rgb" / "hopper.jpg"], 400, "none of the 1 photos can be used"),
    ],
)
def test_mistakes_give_one_line(tmp_path, photos, size, message):
    with pytest.raises(InputError, match=message):
        write_pairs(photos, load_camera("samsung_s7"), tmp_path, 1, size, 0)
