"""The Python interface, `omf.Reconstructor`."""

import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import random_rgb, run
from torch.utils.data import DataLoader, Dataset

import omf
from omf.inference.base import Picture
from omf.raw.bayer import to_challenge_format
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import InputError


@pytest.fixture(scope="module")
def reconstructor(tiny_model) -> omf.Reconstructor:
    return omf.Reconstructor(str(tiny_model), device="cpu")


def test_predict_matches_the_workflow(reconstructor, tmp_path):
    rgb = random_rgb(61, 80)
    raw = reconstructor.predict(rgb)
    assert (raw.shape, raw.dtype) == ((30, 40, 4), np.float32)
    assert raw.min() >= 0 and raw.max() <= 1
    demosaiced = reconstructor.demosaiced(rgb)
    assert demosaiced.shape == (61, 80, 3)
    assert (to_challenge_format(demosaiced) == (raw * 1024).astype(np.uint16)).all()
    (packed,) = reconstructor.method.packed([Picture(rgb, overexposure_mask(rgb))])()
    assert (packed == (raw * 1024).astype(np.uint16)).all()


def test_known_neutral_and_exposure(tiny_base_model):
    reconstructor, rgb = omf.Reconstructor(str(tiny_base_model), device="cpu"), random_rgb(32, 48) // 2
    plain, bright = reconstructor.predict(rgb), reconstructor.predict(rgb, exposure=0.5)
    np.testing.assert_allclose(bright, plain / 2, atol=1e-6)
    red, blue = (reconstructor.demosaiced(rgb, neutral=neutral) for neutral in ((0.8, 0.4), (0.4, 0.8)))
    usual = (red < 1) & (blue < 1) & (red > 0)
    usual = usual.all(-1)
    np.testing.assert_allclose(red[usual][:, 0], 2 * blue[usual][:, 0], rtol=1e-4)
    np.testing.assert_allclose(red[usual][:, 2], blue[usual][:, 2] / 2, rtol=1e-4)
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)
    assert (reconstructor.predict(tensor, exposure=0.5).numpy() == np.moveaxis(bright, -1, 0)).all()
    for values in ({"neutral": (0, 1)}, {"exposure": float("inf")}):
        with pytest.raises(InputError, match="give values above 0"):
            reconstructor.predict(rgb, **values)


def test_the_camera_of_a_classical_method():
    rgb = random_rgb(32, 48)
    default, other = (omf.Reconstructor("inverse", camera=name).predict(rgb) for name in ("", "huawei_p20"))
    assert np.abs(default - other).max() > 0.05
    bright = omf.Reconstructor("inverse").predict(rgb, neutral=(0.5, 0.6), exposure=0.5)
    assert np.abs(bright - default / 2).max() > 0.01 and bright.mean() < 0.7 * default.mean()
    with pytest.raises(InputError, match="camera applies to unprocess and inverse"):
        omf.Reconstructor(camera="huawei_p20")


def test_tensors(reconstructor):
    rgb = random_rgb(32, 48)
    expected = np.moveaxis(reconstructor.predict(rgb), -1, 0)
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)
    assert (reconstructor.predict(tensor).numpy() == expected).all()
    floats = reconstructor.predict(tensor / 255)
    assert floats.dtype == torch.float32
    assert np.abs(floats.numpy() - expected).max() < 1e-4
    batch = reconstructor.predict(torch.stack([tensor, tensor.flip(0)]))
    assert batch.shape == (2, 4, 16, 24)
    assert (batch[0].numpy() == expected).all() and (batch[1].numpy() != expected).any()
    assert reconstructor.demosaiced(tensor[None]).shape == (1, 3, 32, 48)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((1, 8, 3), np.uint8),
        torch.zeros(8, 8, 3),
        torch.zeros(3, 8, 8, dtype=torch.int64),
        torch.full((3, 8, 8), float("nan")),
        "photo.jpg",
    ],
)
def test_wrong_inputs_are_refused(reconstructor, image):
    with pytest.raises(InputError, match="give"):
        reconstructor.predict(image)


def test_a_missing_model_is_reported_immediately():
    with pytest.raises(InputError, match="model nowhere"):
        omf.Reconstructor("nowhere")


def test_the_classical_method():
    rgb = random_rgb(32, 48)
    raw = omf.Reconstructor("unprocess").predict(rgb)
    assert raw.shape == (16, 24, 4)


def test_pickles_are_small(reconstructor):
    reconstructor.predict(random_rgb(8, 8))
    pickled = pickle.dumps(reconstructor)
    assert len(pickled) < 1000
    rgb = random_rgb(16, 16)
    assert (pickle.loads(pickled).predict(rgb) == reconstructor.predict(rgb)).all()


class ReconstructedRaw(Dataset):
    def __init__(self, reconstructor):
        self.reconstructor = reconstructor

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.reconstructor.predict(random_rgb(16, 16, index))


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("loaded_before", [False, True])
def test_dataloader_workers(tiny_model, start, loaded_before):
    torch.randn(1000, 1000).exp().sum()  # start PyTorch's threads, which a fork does not copy
    reconstructor = omf.Reconstructor(str(tiny_model), device="cpu")
    if loaded_before:
        reconstructor.predict(random_rgb(16, 16))
    loaded = torch.cat(
        list(
            DataLoader(
                ReconstructedRaw(reconstructor), 2, num_workers=2, multiprocessing_context=start, timeout=60
            )
        )
    )
    expected = np.stack([reconstructor.predict(random_rgb(16, 16, index)) for index in range(4)])
    # PyTorch uses another algorithm in single-threaded workers: last bits differ, so one count at most
    assert np.abs(loaded.numpy() - expected).max() < 1 / 1024


def test_import_omf_is_fast():
    code = "import omf, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    with pytest.raises(AttributeError, match="no attribute Reconstruktor"):
        _ = omf.Reconstruktor


@pytest.mark.slow
def test_the_example_learns_to_denoise():
    result = run(sys.executable, "examples/train_denoiser.py", "test_rgb", "--steps", 30)
    assert result.returncode == 0, result.stderr
    before, after = map(
        float, re.search(r"photos: ([\d.]+) dB noisy, ([\d.]+) dB denoised", result.stdout).groups()
    )
    assert after > before + 1.5
