"""The Python interface, `omf.Reconstructor`."""

import pickle
import re
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from conftest import ROOT, random_rgb, run
from hypothesis import example, given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

import omf
from omf.inference.base import Picture
from omf.raw.bayer import to_challenge_format
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import InputError


@pytest.fixture(scope="module")
def reconstructor(tiny_model) -> omf.Reconstructor:
    return omf.Reconstructor(str(tiny_model), device="cpu")


@pytest.fixture(scope="module")
def with_base(tiny_base_model) -> omf.Reconstructor:
    return omf.Reconstructor(tiny_base_model, device="cpu")


def tensor_of(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb).permute(2, 0, 1)


def test_predict_matches_the_workflow(reconstructor):
    rgb = random_rgb(61, 80)
    raw = reconstructor.predict(rgb)
    assert (raw.shape, raw.dtype) == ((30, 40, 4), np.float32)
    assert raw.min() >= 0 and raw.max() <= 1
    demosaiced = reconstructor.demosaiced(rgb)
    assert demosaiced.shape == (61, 80, 3)
    assert (to_challenge_format(demosaiced) == (raw * 1024).astype(np.uint16)).all()
    (packed,) = reconstructor.method.packed([Picture(rgb, overexposure_mask(rgb))])()
    assert (packed == (raw * 1024).astype(np.uint16)).all()


def test_known_neutral_and_exposure(with_base):
    rgb = random_rgb(32, 48) // 2
    plain, bright = with_base.predict(rgb), with_base.predict(rgb, exposure=0.5)
    np.testing.assert_allclose(bright, plain / 2, atol=1e-6)
    red, blue = (with_base.demosaiced(rgb, neutral=neutral) for neutral in ((0.8, 0.4), (0.4, 0.8)))
    usual = ((red < 1) & (blue < 1) & (red > 0)).all(-1)
    np.testing.assert_allclose(red[usual][:, 0], 2 * blue[usual][:, 0], rtol=1e-4)
    np.testing.assert_allclose(red[usual][:, 2], blue[usual][:, 2] / 2, rtol=1e-4)
    assert (with_base.predict(tensor_of(rgb), exposure=0.5).numpy() == np.moveaxis(bright, -1, 0)).all()


def test_an_array_may_hold_another_photo_at_the_next_call(with_base):
    rgb, other = random_rgb(32, 48) // 2, random_rgb(32, 48, seed=1) // 4
    expected = with_base.predict(other.copy())
    first = with_base.predict(rgb)
    rgb[:] = other
    assert (with_base.predict(rgb) == expected).all() and (first != expected).any()


def test_samples(with_base, reconstructor):
    """They follow the batch, differ from each other, and are the same each time."""
    rgb = random_rgb(32, 48) // 2
    samples = with_base.predict(rgb, samples=3)
    assert samples.shape == (3, 16, 24, 4) and (samples[0] != samples[1]).any()
    assert (with_base.predict(rgb, samples=2) == samples[:2]).all()
    batch = with_base.predict(torch.stack([tensor_of(rgb)] * 2), samples=3)
    assert batch.shape == (2, 3, 4, 16, 24) and (batch[1].numpy() == np.moveaxis(samples, -1, 1)).all()
    for model, count, line in ((reconstructor, 1, "has no spread network"), (with_base, -1, "samples is -1")):
        with pytest.raises(InputError, match=line):
            model.predict(rgb, samples=count)


def test_the_camera_of_a_classical_method():
    rgb = random_rgb(32, 48)
    assert omf.Reconstructor("unprocess").predict(rgb).shape == (16, 24, 4)
    default, other = (omf.Reconstructor("inverse", camera=name).predict(rgb) for name in ("", "huawei_p20"))
    assert np.abs(default - other).max() > 0.05
    bright = omf.Reconstructor("inverse").predict(rgb, neutral=(0.5, 0.6), exposure=0.5)
    assert np.abs(bright - default / 2).max() > 0.01 and bright.mean() < 0.7 * default.mean()
    path = str(ROOT / "cameras" / "huawei_p20.yaml")
    assert (omf.Reconstructor("inverse", camera=path).predict(rgb) == other).all()
    for camera, line in {
        "none": "known cameras: generic_phone",
        "none.yaml": "no such file; give a profile",
        "auto": "an array tells no camera",
    }.items():
        with pytest.raises(InputError, match=line):
            omf.Reconstructor("inverse", camera=camera)


def test_the_camera_of_networks(tiny_base_model):
    rgb = random_rgb(32, 48)
    own, same, other = (
        omf.Reconstructor(tiny_base_model, camera=name) for name in ("", "samsung_s7", "huawei_p20")
    )
    assert (own.predict(rgb) == same.predict(rgb)).all()
    assert np.abs(own.predict(rgb) - other.predict(rgb)).max() > 0.01
    assert (pickle.loads(pickle.dumps(other)).predict(rgb) == other.predict(rgb)).all()


def test_tensors(reconstructor):
    rgb = random_rgb(32, 48)
    expected = np.moveaxis(reconstructor.predict(rgb), -1, 0)
    tensor = tensor_of(rgb)
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
        *(np.zeros(shape, np.uint8) for shape in ((8, 8), (8, 8, 4), (1, 8, 3))),
        *(np.zeros((8, 8, 3), dtype) for dtype in (np.float32, ">u2", bool, [("r", "u1")])),
        *(torch.zeros(shape) for shape in ((8, 8, 3), (0, 3, 1, 8), (3, 0, 8), ())),
        *(torch.zeros(3, 8, 8, dtype=dtype) for dtype in (torch.int64, torch.complex64, torch.bool)),
        *(torch.full((3, 8, 8), float(value)) for value in ("nan", "-inf")),
        torch.zeros(3, 8, 8, device="meta"),
        torch.zeros(3, 8, 8).to_sparse(),
        *(np.uint8(3), [[[1, 2, 3]]], None, "photo.jpg"),
    ],
)
def test_wrong_inputs_are_refused(reconstructor, image):
    with pytest.raises(InputError, match="give"):
        reconstructor.predict(image)


def test_a_nested_tensor_is_refused(reconstructor):
    image = torch.nested.as_nested_tensor([torch.zeros(3, 8, 8)], layout=torch.jagged)
    with pytest.raises(InputError, match="give"):
        reconstructor.predict(image)


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


@pytest.mark.parametrize(("start", "loaded_before"), [("fork", True), ("fork", False), ("spawn", True)])
def test_dataloader_workers(tiny_model, start, loaded_before):
    torch.randn(1000, 1000).exp().sum()  # start PyTorch's threads, which a fork does not copy
    reconstructor = omf.Reconstructor(str(tiny_model), device="cpu")
    if loaded_before:
        reconstructor.predict(random_rgb(16, 16))
    options = {"num_workers": 2, "multiprocessing_context": start, "timeout": 60}
    loaded = torch.cat(list(DataLoader(ReconstructedRaw(reconstructor), 2, **options)))
    expected = np.stack([reconstructor.predict(random_rgb(16, 16, index)) for index in range(4)])
    # PyTorch uses another algorithm in single-threaded workers: last bits differ, so one count at most
    assert np.abs(loaded.numpy() - expected).max() < 1 / 1024


FORKS = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
import numpy as np
import torch
import omf

rgb = (np.random.default_rng(0).random((256, 256, 3)) * 255).astype(np.uint8)
tensor = torch.from_numpy(rgb).permute(2, 0, 1) / 255
reconstructor = omf.Reconstructor(sys.argv[1], device="cpu")


def predict(threads):
    if threads:
        torch.set_num_threads(threads)
    result = reconstructor.predict(rgb), reconstructor.predict(tensor).numpy()
    return *result, torch.get_num_threads(), omf.inference.forks.was_forked()


if __name__ == "__main__":
    torch.set_num_threads(2)
    if sys.argv[3] == "used":
        torch.rand(1000, 1000).exp().sum()
    elif sys.argv[3] == "predicted":
        reconstructor.predict(rgb)
    context, asked = multiprocessing.get_context(sys.argv[2]), (0, 1, 3, 2)
    pool, executor = context.Pool(1), ProcessPoolExecutor(1, context)
    try:
        results = pool.map_async(predict, asked).get(60) + list(executor.map(predict, asked, timeout=60))
    except TimeoutError:
        print("hangs", flush=True)
        os.kill(0, 9)
    own = predict(2)
    assert not own[3] and all(result[3] == (sys.argv[2] != "spawn") for result in results)
    for photo, batch, *_ in results:  # with one thread PyTorch has another algorithm
        assert max(np.abs(photo - own[0]).max(), np.abs(batch - own[1]).max()) < 1 / 1024
    print([result[2] for result in results[1:4] + results[5:]])
"""


@pytest.mark.parametrize(
    ("start", "parent"),
    [("fork", "idle"), ("fork", "used"), ("fork", "predicted"), ("spawn", "used"), ("forkserver", "used")],
)
def test_worker_processes(tmp_path, tiny_model, start, parent):
    """Neither hang nor have another number of threads than they ask for."""
    (tmp_path / "program.py").write_text(FORKS)
    command = [sys.executable, tmp_path / "program.py", tiny_model, start, parent]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=200, start_new_session=True)
    assert (answer.stdout, answer.returncode) == ("[1, 3, 2, 1, 3, 2]\n", 0), answer.stderr


@contextmanager
def default_dtype(dtype: torch.dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize(
    "setting",
    [
        torch.autocast("cpu", torch.bfloat16),
        torch.inference_mode(),
        torch.device("meta"),
        *map(default_dtype, (torch.float64, torch.bfloat16, torch.float16)),
    ],
    ids=["autocast", "inference mode", "meta", "float64", "bfloat16", "float16"],
)
def test_settings_of_the_caller_do_not_matter(tiny_base_model, with_base, setting):
    rgb = random_rgb(40, 40)
    tensor = tensor_of(rgb) / 255
    given = {"neutral": (0.5, 0.6), "exposure": 1.1}
    expected = with_base.predict(rgb, **given), with_base.predict(tensor, **given).numpy()
    with setting:
        fresh = omf.Reconstructor(tiny_base_model, device="cpu")
        assert (fresh.predict(rgb, **given) == expected[0]).all()
        assert (fresh.predict(tensor, **given).numpy() == expected[1]).all()


def test_forms_of_a_neutral(with_base):
    rgb = random_rgb(32, 32) // 2
    expected = with_base.predict(rgb, neutral=(0.5, 0.6), exposure=0.5)
    tensor = torch.tensor([0.5, 0.6], dtype=torch.float64, requires_grad=True)
    in_rgb = ((1.0, 2.0, 1.2), np.array([0.5, 1, 0.6]))
    for neutral in (np.array([0.5, 0.6]), tensor, [np.float64(0.5), 0.6], *in_rgb):
        given = with_base.predict(rgb, neutral=neutral, exposure=np.float32(0.5))
        assert (given == expected).all(), neutral


def test_each_photo_of_a_batch_has_its_neutral_and_exposure(with_base):
    batch = torch.stack([tensor_of(random_rgb(32, 32, seed)) for seed in (0, 1)])
    neutrals, exposures = ((0.5, 0.6), (0.9, 0.3)), (0.5, 0.8)
    each = [with_base.demosaiced(*values) for values in zip(batch, neutrals, exposures)]
    together = with_base.demosaiced(batch, torch.tensor(neutrals, dtype=float), np.array(exposures))
    assert (together == torch.stack(each)).all()
    in_rgb = np.insert(neutrals, 1, 1, axis=1)
    assert (with_base.demosaiced(batch, in_rgb, exposures) == together).all()


NAN, INFINITE = float("nan"), float("inf")
NO_NEUTRALS = [
    *((0, 0), (0, 1), (NAN, 1), (0.5,), 0.5, (1, 2, 3, 4), [[0.5, 0.6]], [[1], [1, 2]]),
    *("ab", ("1", "2"), (True, True), {}, [1j, 1], [None, 1]),
]
NO_EXPOSURES = ["2", None, 0, -1, INFINITE, [1, 1], True, np.array(["1"])]


@pytest.mark.parametrize(
    "values",
    [{"neutral": value} for value in NO_NEUTRALS] + [{"exposure": value} for value in NO_EXPOSURES],
    ids=repr,
)
def test_no_neutral_or_exposure(with_base, values):
    with pytest.raises(InputError, match="give values above 0"):
        with_base.predict(random_rgb(8, 8), **values)


def test_an_empty_batch(reconstructor):
    assert reconstructor.predict(torch.zeros(0, 3, 8, 10)).shape == (0, 4, 4, 5)
    assert reconstructor.demosaiced(torch.zeros(0, 3, 8, 10, dtype=torch.uint8)).shape == (0, 3, 8, 10)


# -0.0 + 0.0 is 0.0, as the message says
@given(low=st.floats(-1, 0.5).map(lambda low: low + 0.0), high=st.floats(0.5, 2) | st.floats(2, 300))
@example(low=0.0, high=2.0)
def test_floats_are_used_if_they_are_near_0_to_1_and_refused_otherwise(reconstructor, low, high):
    values = torch.linspace(low, high, 12, dtype=torch.float64).view(3, 2, 2)
    if low >= -0.25 and high <= 1.25:
        assert (reconstructor.predict(values) == reconstructor.predict(values.clamp(0, 1))).all()
    else:
        with pytest.raises(InputError, match=re.escape(f"from {low:.4g} to {high:.4g}; give sRGB in [0, 1]")):
            reconstructor.predict(values)


@pytest.mark.parametrize(
    "device",
    ["gpuu", "mps", None, "cuda:-1", "cuda:", "cuda:x", "cuda:0.5", "cpu:1", "", "CPU", 0, "cuda:0\n"],
)
@pytest.mark.parametrize("model", ["samsung_s7", "inverse"])
def test_no_such_device(device, model):
    with pytest.raises(InputError, match="give auto, cpu, cuda or cuda:N"):
        omf.Reconstructor(model, device=device)


@pytest.mark.parametrize("device", ["cpu", "cpu:0", torch.device("cpu"), np.str_("cpu"), "auto"])
def test_names_of_the_cpu(tiny_model, device):
    if device == "auto" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    reconstructor = omf.Reconstructor(tiny_model, device=device)
    assert reconstructor.predict(random_rgb(8, 8)).shape == (4, 4, 4)


@pytest.mark.parametrize("model", ["nowhere", None, 3, "", "\0", b"samsung_s7"])
def test_no_such_model(model):
    with pytest.raises(InputError, match="neither listed nor a folder"):
        omf.Reconstructor(model)


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
