"""Cameras by profile, RAW file and name, and RAW carried to them by the commands."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from camera_dng import bayer_of, scene, write_dng, write_tiff
from conftest import ROOT, random_rgb
from PIL import Image

from omf.io.camera_profile import known_camera_text
from omf.io.cameras import (
    asked_camera,
    camera_of_photo,
    cameras_line,
    check_camera,
    find_camera,
    known_names,
    similar_names,
    write_probe,
)
from omf.io.dng import save_dng
from omf.io.exif import ISO, Exif
from omf.raw.camera import LIGHT_SOURCES, Camera, check_bayer, load_camera
from omf.raw.camera_colours import matrix_from_xyz, neutral_under
from omf.utils.errors import InputError

rawpy = pytest.importorskip("rawpy")

POPULAR = [
    *("NIKON D750", "NIKON D850", "NIKON D3500", "NIKON Z 6", "Nikon D90"),
    *("Canon EOS 5D Mark II", "Canon EOS R5", "Canon EOS 80D", "Canon EOS 6D", "Canon EOS M50"),
    *("SONY ILCE-7M3", "SONY ILCE-6000", "SONY DSC-RX100M7", "FUJIFILM X-T3", "FUJIFILM X100V"),
    *("Panasonic DMC-GH4", "OLYMPUS E-M1MarkII", "PENTAX K-1", "Leica Q2", "Samsung Galaxy S7"),
]
X_TRANS = bytes([1, 1, 0, 1, 1, 2, 1, 1, 2, 1, 1, 0, 2, 0, 1, 0, 2, 1] * 2)
S7 = load_camera("samsung_s7")


def daylight_gains(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix and the daylight gains of LibRaw for a DNG of a camera, which has no matrix."""
    maker, _, model = name.partition(" ")
    write_probe(folder / "probe.dng", maker, model)
    with rawpy.imread(str(folder / "probe.dng")) as raw:
        return raw.rgb_xyz_matrix[:3].copy(), np.array(raw.daylight_whitebalance[:3])


@pytest.mark.parametrize("name", POPULAR)
def test_popular_cameras_have_the_daylight_gains_of_libraw(tmp_path, name):
    matrix, gains = daylight_gains(name, tmp_path)
    camera = find_camera(name)
    assert camera.name == name
    np.testing.assert_allclose(matrix_from_xyz(camera, "D65"), matrix, atol=1e-6)
    neutral = neutral_under(camera, LIGHT_SOURCES["D65"][1])
    assert gains[1] / gains == pytest.approx(neutral, rel=0.02)
    assert camera.mean_colour_matrix.sum(axis=1) == pytest.approx(np.ones(3))


def test_a_profile_survives_being_written(tmp_path):
    camera = find_camera("NIKON D750")
    (tmp_path / "d750.yaml").write_text(known_camera_text(camera))
    read = load_camera(str(tmp_path / "d750.yaml"))
    for field in ("neutrals", "weights", "spread", "colour_matrices", "subsampling"):
        np.testing.assert_allclose(getattr(read, field), getattr(camera, field), atol=1e-5)
    np.testing.assert_allclose(read.xyz_matrices["D65"], camera.xyz_matrices["D65"], atol=1e-6)
    for field in ("name", "cfa", "frame", "prior"):
        assert getattr(read, field) == getattr(camera, field)


def write_own_dng(path: Path, camera: Camera, exif: Exif | None = None) -> str:
    levels = {"cfa": "BGGR", "black_level": 66, "white_level": 1020, "noise": (2e-3, 1e-6)}
    counts, preview = np.full((64, 48), 500, np.uint16), random_rgb(64, 48)
    origin = {"neutral": camera.mean_neutral, "camera": camera, "model": "", "exif": exif}
    save_dng(path, counts, preview, **levels | origin)
    return str(path)


def test_the_camera_of_a_dng_has_its_matrices_levels_cfa_and_noise(tmp_path):
    camera = find_camera(write_own_dng(tmp_path / "shot.dng", S7))
    assert (camera.cfa, camera.black_level, camera.white_level, camera.frame) == ("BGGR", 66, 1020, (64, 48))
    assert camera.name == "Overexposure Mask Fusion samsung_s7"
    assert camera.xyz_matrices.keys() == {"A", "D65"}
    for light in ("A", "D65"):
        assert camera.xyz_matrices[light] == pytest.approx(matrix_from_xyz(S7, light), abs=1e-5)
        assert camera.illuminants[light] == pytest.approx(S7.illuminants[light], rel=1e-3)
    assert camera.colour_matrices.mean(0) == pytest.approx(S7.mean_colour_matrix, abs=1e-4)
    assert camera.shot_noise == load_camera("generic_phone").shot_noise  # no ISO in the file
    exif = Exif(make="Maker", model="Model 7", capture={ISO: 200})
    with_iso = find_camera(write_own_dng(tmp_path / "iso.dng", S7, exif))
    assert with_iso.shot_noise == pytest.approx(1e-5)
    assert with_iso.name == "Maker Model 7"


def test_a_dng_of_unknown_make_has_the_matrix_in_it(tmp_path):
    write_dng(tmp_path / "a.dng", bayer_of(scene(0, 64, 64), "GRBG"), "GRBG", black=(64, 65, 66, 65))
    camera = find_camera(str(tmp_path / "a.dng"))
    assert (camera.cfa, camera.black_level, camera.white_level) == ("GRBG", 65, 16383)
    assert camera.name == "a"
    check_bayer(camera)


def test_linear_dng_tells_no_cfa(tmp_path):
    write_tiff(tmp_path / "pro.dng", np.full((64, 64, 3), 900, np.uint16))
    assert find_camera(str(tmp_path / "pro.dng")).cfa == "RGGB"


def test_raw_from_x_trans_has_colours_but_no_mosaic(tmp_path, call_omf):
    path, photo = tmp_path / "x.dng", tmp_path / "photo.png"
    write_tiff(path, np.full((96, 96), 900, np.uint16), (6, 6), X_TRANS)
    Image.fromarray(random_rgb(40, 50)).save(photo)
    with pytest.raises(InputError, match="its sensor has no Bayer pattern"):
        check_bayer(find_camera(str(path)))
    predict = ("predict", photo, "-o", tmp_path / "out", "--camera", path, "--device", "cpu")
    simulate = ("simulate", "-o", tmp_path / "pairs", "--camera", path, "--count", "1", "--size", "32")
    for command in ((*predict, "--format", "npy"), (*predict, "--format", "dng"), simulate):
        refused = call_omf(*command)
        assert refused.returncode == 1 and len(refused.stderr.strip().splitlines()) == 1
        assert "its sensor has no Bayer pattern" in refused.stderr
    done = call_omf(*predict, "--format", "demosaiced")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out" / "photo.npz") as archive:
        assert archive["raw"].shape == (40, 50, 3) and archive["raw"].dtype == np.uint16
        assert archive["white_level"] == 16383 and "cfa" not in archive


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("NIKON D757", r"a name that LibRaw knows, such as Nikon D750"),
        ("D750", r"such as Nikon D750"),
        ("samsung_s9", r"known cameras: generic_phone, huawei_p20, samsung_s7; or give a RAW file"),
        ("nothing.dng", "nothing.dng: no such file"),
        ("x" * 5000, "known cameras"),
        ("a\nb \0c", "known cameras"),
        ("NIKON D750\N{LATIN SMALL LETTER E WITH ACUTE}", "such as Nikon D750"),
    ],
)
def test_a_camera_that_is_not_found_is_one_line(name, line):
    with pytest.raises(InputError, match=line):
        find_camera(name)


def test_a_file_that_cannot_be_used_is_one_line(tmp_path):
    for matrix in (np.zeros((3, 3)), np.ones((3, 3)), np.diag([1, 1, 0])):
        odd = replace(S7, illuminants={"D65": S7.illuminants["D65"]}, xyz_matrices={"D65": matrix})
        with pytest.raises(InputError, match="colour matrix"):
            find_camera(write_own_dng(tmp_path / "a.dng", odd))
    (tmp_path / "a.dng").write_bytes(b"not RAW")
    with pytest.raises(InputError, match=r"a\.dng: can't be decoded"):
        find_camera(str(tmp_path / "a.dng"))


def test_without_rawpy_profiles_work_and_names_say_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    known_names.cache_clear()
    assert similar_names("NIKON D7100") == []
    assert find_camera("huawei_p20").name == "huawei_p20"
    with pytest.raises(InputError, match="needs rawpy"):
        find_camera("NIKON D7100")
    with pytest.raises(InputError, match=r"or a name that LibRaw knows$"):
        find_camera("samsung_s9")
    with pytest.raises(InputError, match="needs rawpy"):
        check_camera("auto", "samsung_s7")


def test_similar_names():
    assert similar_names("nikon d7500")[0] == "Nikon D7500"
    assert similar_names("qqqqqq") == []
    assert len(known_names()) > 1000


def test_auto_takes_the_camera_of_each_photo(tmp_path, call_omf, tiny_base_model):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, maker, model in (
        ("nikon", "NIKON CORPORATION", "NIKON D750"),
        ("canon", "Canon", "Canon EOS 5D Mark II"),
        ("phone", "samsung", "SM-G930F"),
        ("odd", "", "\x07"),
    ):
        exif = Image.Exif()
        exif.update({271: maker, 272: model})
        Image.fromarray(random_rgb(40, 50)).save(photos / f"{name}.jpg", exif=exif)
    Image.fromarray(random_rgb(40, 50)).save(photos / "none.png")
    names = {path.stem: asked_camera("auto", "samsung_s7", path) for path in photos.iterdir()}
    known = {"nikon": "NIKON D750", "canon": "Canon EOS 5D Mark II"}
    assert names == known | dict.fromkeys(("phone", "odd", "none"), "")
    assert camera_of_photo(photos / "phone.jpg") is None

    def predict(out: str, *options: object) -> str:
        always = ("--model", tiny_base_model, "--format", "dng", "--device", "cpu")
        done = call_omf("predict", photos, "-o", tmp_path / out, *always, *options)
        assert done.returncode == 0, done.stderr
        return done.stderr

    predict("own")
    lines = predict("auto", "--camera", "auto")
    predict("named", "--camera", "NIKON D750")
    line = "Canon EOS 5D Mark II (1 photo); NIKON D750 (1 photo)"
    assert f"cameras: samsung_s7, the model's own (3 photos); {line}" in lines
    own, auto, named = (tmp_path / name for name in ("own", "auto", "named"))
    assert (named / "nikon.dng").read_bytes() == (auto / "nikon.dng").read_bytes()
    for name in ("phone", "none", "odd"):
        assert (own / f"{name}.dng").read_bytes() == (auto / f"{name}.dng").read_bytes()
    for name, camera in known.items():
        with rawpy.imread(str(auto / f"{name}.dng")) as raw:
            expected, _ = daylight_gains(camera, tmp_path)
            assert raw.rgb_xyz_matrix[:3] == pytest.approx(expected, abs=1e-5)
        with tifffile.TiffFile(auto / f"{name}.dng") as tiff:
            tags = tiff.pages.first.tags
            assert tags["UniqueCameraModel"].value == f"Overexposure Mask Fusion {camera}"
            assert tags["Model"].value == camera
    with tifffile.TiffFile(named / "canon.dng") as tiff:  # which does not bear the photo's name
        assert tiff.pages.first.tags["Model"].value == "NIKON D750"


def test_a_photo_of_one_cell(tmp_path, call_omf):
    Image.fromarray(np.full((2, 2, 3), 128, np.uint8)).save(tmp_path / "tiny.png")
    done = call_omf("predict", tmp_path / "tiny.png", "-o", tmp_path, "--camera", "SONY ILCE-7M3")
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "tiny.npy").shape == (1, 1, 4)


def test_the_command_writes_a_profile(tmp_path, call_omf):
    photo, out = tmp_path / "astronaut.png", tmp_path / "d750.yaml"
    Image.open(ROOT / "test_rgb" / "astronaut.jpg").crop((100, 50, 220, 150)).save(photo)
    done = call_omf("camera", "NIKON D750", "-o", out)
    assert done.returncode == 0, done.stderr
    assert "profile of NIKON D750; use it with --camera" in done.stderr
    raws = []
    for number, camera in enumerate((out, "NIKON D750")):
        done = call_omf("predict", photo, "-o", tmp_path / str(number), "--camera", camera)
        assert done.returncode == 0, done.stderr
        raws.append(np.load(tmp_path / str(number) / "astronaut.npy").astype(int))
    assert np.abs(raws[0] - raws[1]).max() <= 1  # the profile's figures are rounded
    out.write_text("mine")
    assert call_omf("camera", "NIKON D850", "-o", out).returncode == 1 and out.read_text() == "mine"
    assert call_omf("camera", "NIKON D850", "-o", tmp_path / "x.txt").returncode == 1
    refused = call_omf("camera", "samsung_s7", "-o", tmp_path / "x.yaml")
    assert refused.returncode == 1 and "has a profile already" in refused.stderr


def test_the_line_of_cameras():
    line = cameras_line({"a": "", "b": "NIKON D750", "c": "NIKON D750"}, "samsung_s7")
    assert line == "cameras: samsung_s7, the model's own (1 photo); NIKON D750 (2 photos)"
