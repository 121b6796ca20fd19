import numpy as np
import pytest
import torch
from conftest import ROOT, random_rgb

from omf.evaluation.metrics import psnr
from omf.models.checkpoints import load_demosaic_net
from omf.networks.demosaic_net import DemosaicNet
from omf.raw.bayer import demosaic, mosaic
from omf.raw.camera import load_camera
from omf.training.patches import MosaickedScenes
from omf.training.sources import SimulatedPictures, draw_scenes


def random_net(width: int = 6, depth: int = 4, seed: int = 0) -> DemosaicNet:
    """Create a network whose corrections are not 0, unlike those of a new one."""
    torch.manual_seed(seed)
    network = DemosaicNet(width, depth).eval()
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    return network


def run_network(network: DemosaicNet, bayer: np.ndarray) -> np.ndarray:
    """Demosaic (H, W) to (H, W, 3)."""
    with torch.inference_mode():
        return network(torch.from_numpy(bayer)[None, None])[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("size", [(4, 4), (6, 30), (32, 18)])
def test_new_network_equals_linear_interpolation(size, autocast):
    bayer = np.random.default_rng(0).random(size, np.float32)
    with torch.autocast("cpu", torch.bfloat16, autocast):
        np.testing.assert_allclose(run_network(DemosaicNet(), bayer), demosaic(bayer), atol=1e-5)


@pytest.mark.parametrize("depth", [2, 4, 8])
def test_measured_samples_are_preserved(depth):
    bayer = np.random.default_rng(1).random((24, 36), np.float32)
    rgb = run_network(random_net(depth=depth), bayer)
    assert rgb.shape == (24, 36, 3)
    assert (mosaic(rgb) == bayer).all()
    assert abs(rgb - demosaic(bayer)).max() > 0.01


def test_output_is_equivariant_to_shifts_by_a_cell():
    network, bayer = random_net(), np.random.default_rng(2).random((64, 64), np.float32)
    shifted = run_network(network, np.ascontiguousarray(bayer[2:, 4:]))
    np.testing.assert_allclose(
        shifted[12:-12, 12:-12], run_network(network, bayer)[2:, 4:][12:-12, 12:-12], atol=1e-5
    )


def test_gradients_are_finite_for_black_and_slightly_negative_samples():
    network = random_net().train()
    bayer = torch.full((1, 1, 8, 8), -0.01).requires_grad_()
    network(bayer).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in (bayer, *network.parameters()))


def test_few_training_steps_beat_linear_interpolation():
    torch.manual_seed(0)
    network = DemosaicNet(16, 4)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    images = np.stack([np.repeat(np.repeat(random_rgb(24, 24, seed), 2, 0), 2, 1) for seed in range(4)])
    truth = torch.from_numpy((images / np.float32(255)).transpose(0, 3, 1, 2).copy()).float() ** 2.2
    bayer = torch.from_numpy(np.stack([mosaic(image.permute(1, 2, 0).numpy()) for image in truth]))[:, None]
    losses = []
    for _ in range(40):
        loss = (network(bayer) - truth).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(("width", "depth"), [(0, 4), (4, 0), (4, 3), (4, 102)])
def test_invalid_sizes_raise_value_error(width, depth):
    with pytest.raises(ValueError, match="depth even"):
        DemosaicNet(width, depth)


def test_shipped_network_beats_the_methods_of_the_library():
    """Compare on synthetic scenes of seeds unused in training; benchmarks/demosaic.py compares on photos."""
    library = pytest.importorskip("colour_demosaicing")
    network = load_demosaic_net(ROOT / "trained_models" / "samsung_s7" / "demosaic.safetensors")
    scenes = MosaickedScenes(
        SimulatedPictures([], draw_scenes(16, 555), load_camera("samsung_s7")), 96, 24, 556
    )
    methods = {
        "net": lambda bayer: run_network(network, bayer),
        "bilinear": lambda bayer: library.demosaicing_CFA_Bayer_bilinear(bayer, "RGGB"),
        "malvar": lambda bayer: library.demosaicing_CFA_Bayer_Malvar2004(bayer, "RGGB"),
        "menon": lambda bayer: library.demosaicing_CFA_Bayer_Menon2007(bayer, "RGGB"),
    }
    psnrs = {name: [] for name in methods}
    for index in range(len(scenes)):
        bayer, truth = scenes[index]
        truth = np.moveaxis(truth.numpy().astype(np.float64), 0, -1)[8:-8, 8:-8]
        for name, method in methods.items():
            rgb = np.clip(method(bayer[0].numpy())[8:-8, 8:-8], 0, 1).astype(np.float64)
            psnrs[name].append(psnr(rgb, truth))
    means = {name: np.mean(values) for name, values in psnrs.items()}
    assert means["net"] > max(means["bilinear"], means["malvar"], means["menon"]) + 1, means
