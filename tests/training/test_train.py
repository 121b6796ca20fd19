"""The stages of training: base network, Demosaic Net, NOE, OE."""

import resource
import shutil
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from conftest import random_base, random_rgb, random_unet, run

from omf.inference.inverse import Inverse
from omf.models.checkpoints import load_base, load_network, save_network
from omf.networks.demosaic_net import DemosaicNet
from omf.networks.global_net import QUANTILES, SEGMENTS, GlobalNet, GlobalTransform
from omf.raw.bayer import mosaic, pack, to_challenge_counts
from omf.raw.camera import load_camera
from omf.raw.isp import encode_srgb
from omf.training import train as stages
from omf.training.loop import Hyperparameters, fit
from omf.training.patches import WholeImages
from omf.training.settings import STAGES, Iterations, Loss, Losses, TrainingSettings
from omf.training.sources import SimulatedPictures, draw_scenes
from omf.training.train import base_objective, branch_objective, stage_fingerprint, train_stage
from omf.utils.errors import InputError
from omf.utils.files import save_text

CPU = torch.device("cpu")
QUICK = TrainingSettings(
    widths=[4, 6],
    iterations=Iterations(base=4, demosaic=4, noe=4, oe=4),
    batch_size=2,
    patch_size=40,
    warmup_iterations=2,
    ema_decay=0.9,
)


def changed(**settings: object) -> TrainingSettings:
    """Return the quick settings with others in their place."""
    return QUICK.model_copy(update=settings)


def without_base(**settings: object) -> TrainingSettings:
    """Return the quick settings, of the published method, with others in their place."""
    return changed(iterations=Iterations(base=0, demosaic=4, noe=4, oe=4), **settings)


def write_dataset(folder, count: int = 9, dark: bool = False, size: int = 60):
    """Write pairs in the AIM layout whose RAW is half of the photo."""
    folder.mkdir(exist_ok=True)
    for seed in range(count):
        rgb = random_rgb(size, size, seed) // (2 if dark else 1)
        iio.imwrite(folder / f"{seed}.jpg", rgb, quality=98)
        np.save(folder / f"{seed}.npy", pack(to_challenge_counts(mosaic(rgb / np.float32(510)))))
    return folder


def write_camera_raw(folder):
    folder.mkdir()
    for name in ("a.jpg", "a.dng"):
        (folder / name).touch()


@pytest.fixture
def train(call_omf, tmp_path, monkeypatch):
    """Return a function that calls `omf train` with few drawn scenes; it returns the completed process."""
    monkeypatch.setattr("omf.training.sources.DRAWN", 4)

    def train(text: str):
        (tmp_path / "settings.yaml").write_text(f"{{widths: [4, 6], patch_size: 40, batch_size: 2, {text}}}")
        settings = ("--settings", tmp_path / "settings.yaml", "--device", "cpu")
        return call_omf("train", "-o", tmp_path / "model", *settings)

    return train


@pytest.mark.parametrize("network", ["unet", pytest.param("nafnet", marks=pytest.mark.slow)])
def test_all_stages_on_real_pairs_from_the_command_line(tmp_path, train, call_omf, network):
    """Train on a dataset with some bad pairs, which are listed once and skipped."""
    pairs = write_dataset(tmp_path / "pairs")
    for name in ("broken", "lonely", "shape", "nan"):
        shutil.copy(pairs / "0.jpg", pairs / f"{name}.jpg")
    (pairs / "broken.npy").write_bytes(b"no")
    np.save(pairs / "shape.npy", np.zeros((5, 5, 4), np.uint16))
    np.save(pairs / "nan.npy", np.full((30, 30, 4), np.nan))
    answer = train(
        f"pairs: {pairs}, network: {network}, iterations: {{base: 4, demosaic: 4, noe: 4, oe: 4, spread: 4}}"
    )
    assert answer.returncode == 0, answer.stderr
    problems = ("broken.npy: can't be read", "lonely.jpg: no RAW of that name")
    for line in (*problems, "shape.npy: uint16 (5, 5, 4)", "nan.npy: float64"):
        assert answer.stderr.count(line) == 1
    assert load_network(tmp_path / "model" / "oe.safetensors").widths == (4, 6)
    assert not list((tmp_path / "model").glob("*.state.pt"))
    model = ("--model", tmp_path / "model", "--device", "cpu")
    predicted = call_omf("predict", pairs / "0.jpg", "-o", tmp_path / "raw", *model)
    assert predicted.returncode == 0, predicted.stderr


@pytest.mark.parametrize("recorded", [False, True])
def test_answers_hold_the_mean_exposure_after_simulated_pairs_alone(tmp_path, monkeypatch, recorded):
    monkeypatch.setattr("omf.training.sources.DRAWN", 2)
    pairs = str(write_dataset(tmp_path / "pairs")) if recorded else ""
    simulated = changed(iterations=Iterations(base=2, noe=1), pairs=pairs)
    train_stage("base", simulated, tmp_path / "run", CPU)
    base = load_base(tmp_path / "run" / "base.safetensors")
    assert (base.mean_curve is None) == recorded
    if recorded:
        return
    rgb = random_rgb(64, 64)
    photo = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    mean = GlobalTransform(base.mean_curve[None], base.mean_matrix[None], torch.zeros(1, 3)).apply(photo)
    expected = torch.from_numpy(Inverse(load_camera(simulated.camera))(rgb)).permute(2, 0, 1)[None]
    torch.testing.assert_close(mean.clamp(0, 1), expected, atol=0.03, rtol=0)  # saturation and interpolation


def run_twice(folder, *command, settings: str):
    """Run a training command in two processes on the CPU."""
    (folder / "settings.yaml").write_text(settings)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    options = ["--settings", folder / "settings.yaml", "--device", "cpu"]
    answer = run(*torchrun, *command, *options, OMP_NUM_THREADS="1")
    assert answer.returncode == 0, answer.stderr
    return answer


@pytest.mark.slow
def test_the_script_under_torchrun(tmp_path):
    settings = '{"patch_size": 40, "batch_size": 2, "iterations": {"demosaic": 4}}'
    answer = run_twice(tmp_path, "scripts/train.py", "demosaic", settings=settings)
    assert answer.stderr.count("demosaic 4 of 4") == 1
    assert (tmp_path / "demosaic.safetensors").is_file()
    assert not (tmp_path / "demosaic.state.pt").exists()


@pytest.mark.slow
def test_all_stages_in_two_processes(tmp_path):
    """Each stage reads the weights of the earlier ones, which the first process writes."""
    settings = (
        "{widths: [4, 6], patch_size: 40, batch_size: 2, loss: {seam: 1},"
        " iterations: {base: 4, demosaic: 4, noe: 4, oe: 4, spread: 4}}"
    )
    command = ["-m", "omf", "train", "-o", tmp_path / "model"]
    answer = run_twice(tmp_path, *command, settings=settings)
    for stage in STAGES:
        assert answer.stderr.count(f"\n{stage} 4 of 4") == 1
        assert (tmp_path / "model" / f"{stage}.safetensors").is_file()
    assert answer.stderr.count("trained; use it with") == 1
    assert "destroy_process_group" not in answer.stderr  # no warning of a group that was left open
    assert "4 of 4" not in run_twice(tmp_path, *command, settings=settings).stderr


def test_a_finished_stage_is_skipped_unless_its_settings_change(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "simulated_pictures", lambda settings: pytest.fail("trained again"))
    save_text(tmp_path / "demosaic.safetensors", "weights")
    (tmp_path / "finished.json").write_text(f'{{"demosaic": "{stage_fingerprint("demosaic", QUICK)}"}}')
    train_stage("demosaic", QUICK, tmp_path, CPU)
    with pytest.raises(pytest.fail.Exception):
        train_stage("demosaic", changed(seed=1), tmp_path, CPU)
    missing = r"base\.safetensors: not there; oe needs it: train the stage base first"
    with pytest.raises(InputError, match=missing):
        train_stage("oe", QUICK, tmp_path, CPU)


def test_a_stage_depends_on_its_own_settings():
    for settings, affected in (
        (changed(name="other", num_gpus=2), []),
        (changed(iterations=Iterations(base=4, demosaic=4, noe=4, oe=5)), ["oe"]),
        (changed(iterations=Iterations(base=5, demosaic=4, noe=4, oe=4)), ["base", "noe", "oe", "spread"]),
        (changed(widths=[4, 6, 8]), ["noe", "oe"]),
        (changed(loss=Losses(noe=Loss(ms_ssim=1))), ["noe", "oe"]),
        (changed(loss=Losses(oe=Loss(ms_ssim=1))), ["oe"]),
        (changed(loss=Losses(seam=1)), ["oe"]),
        (changed(camera="generic_phone"), ["base", "demosaic", "noe", "oe", "spread"]),
    ):
        for stage in STAGES:
            changes = stage_fingerprint(stage, settings) != stage_fingerprint(stage, QUICK)
            assert changes == (stage in affected)


@pytest.fixture
def demosaic(tmp_path):
    save_network(DemosaicNet(), tmp_path / "demosaic.safetensors")


def half_overexposed() -> torch.Tensor:
    """Return network input, (2, 4, 24, 24), half of it overexposed."""
    x = torch.rand(2, 4, 24, 24)
    x[:, 3] = (torch.rand(2, 24, 24) < 0.5).float()
    return x


@pytest.mark.usefixtures("demosaic")
def test_the_target_of_a_branch_is_the_demosaiced_raw(tmp_path):
    bayer = torch.full((2, 1, 24, 24), 0.25)

    class Constant(torch.nn.Module):
        def forward(self, x):
            return torch.where(x[:, 3:] == 1, 0.25, 0.75).expand(-1, 3, -1, -1)

    settings = without_base(loss=Losses(noe=Loss(ms_ssim=0), oe=Loss(ms_ssim=0)))
    for branch, expected in (("oe", 0), ("noe", 0.5)):
        objective = branch_objective(branch, settings, tmp_path, CPU)
        loss = float(objective(Constant(), [half_overexposed(), bayer]))
        assert loss == pytest.approx(expected, abs=1e-6)


@pytest.mark.usefixtures("demosaic")
def test_oe_is_penalised_for_seams_with_noe(tmp_path):
    noe = random_unet((4, 6), 3)
    save_network(noe, tmp_path / "noe.safetensors")
    bayer, x = torch.full((1, 1, 48, 48), 0.25), torch.rand(1, 4, 48, 48)
    x[:, 3] = 0
    x[:, 3, :, 20:] = 1
    values = {}
    for weight in (0, 1, 3):
        settings = without_base(loss=Losses(oe=Loss(ms_ssim=0), seam=weight))
        objective = branch_objective("oe", settings, tmp_path, CPU)
        values[weight] = float(objective(random_unet((4, 6), 5), [x, bayer]).detach())
    assert values[1] > values[0]
    assert values[3] - values[0] == pytest.approx(3 * (values[1] - values[0]), rel=1e-3)


def test_oe_starts_from_noe_and_both_from_a_given_model(tmp_path, tiny_model):
    noe = random_unet((4, 6), 3)
    save_network(noe, tmp_path / "noe.safetensors")
    first = stages.initial_network("oe", QUICK, tmp_path)
    torch.testing.assert_close(first.state_dict(), load_network(tmp_path / "noe.safetensors").state_dict())
    given = stages.initial_network("noe", changed(init_from=str(tiny_model)), tmp_path)
    torch.testing.assert_close(given.state_dict(), load_network(tiny_model / "noe.safetensors").state_dict())
    settings = changed(iterations=Iterations(base=4, demosaic=4, noe=0, oe=4))
    assert settings.stages == ("base", "demosaic", "oe", "spread")
    assert stages.initial_network("oe", settings, tmp_path).in_channels == 7  # with the base RAW
    with pytest.raises(InputError, match=r"tiny has no network base; set iterations\.base to 0"):
        stages.initial_network("base", changed(init_from=str(tiny_model)), tmp_path)


@pytest.mark.usefixtures("demosaic")
def test_oe_and_noe_refine_the_base(tmp_path):
    """A network that predicts 0 leaves the RAW of the base network, and the loss is that of the base."""
    torch.manual_seed(0)
    base = random_base(0)
    save_network(base, tmp_path / "base.safetensors")
    settings = changed(loss=Losses(noe=Loss(ms_ssim=0), oe=Loss(ms_ssim=0)))
    x, summary = half_overexposed(), (torch.rand(2, 4, 64, 64), torch.rand(2, 3, len(QUANTILES)))
    bayer = torch.full((2, 1, 24, 24), 0.25)

    def zero(x):
        assert x.shape == (2, 7, 24, 24)
        return torch.zeros(2, 3, 24, 24)

    with torch.no_grad():
        error = (base(*summary).apply(x[:, :3]) - 0.25).abs().mean(1)
    for branch, own in (("oe", x[:, 3] == 1), ("noe", x[:, 3] == 0)):
        loss = branch_objective(branch, settings, tmp_path, CPU)(zero, [x, bayer, *summary])
        assert float(loss) == pytest.approx(float(error[own].mean()), rel=1e-3)


def test_weights_of_networks_that_the_settings_leave_out_are_removed(tmp_path):
    for stage in stages.STAGES:
        (tmp_path / f"{stage}.safetensors").touch()
    settings = changed(iterations=Iterations(base=4, demosaic=4, noe=0, oe=4, spread=0))
    stages.remove_other_weights(settings, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"base", "demosaic", "oe"}


def test_the_base_is_judged_before_and_after_the_srgb_curve():
    """Two images of one value each, of which the second one is predicted exactly."""

    def network(thumbnail, quantiles):
        parts = torch.linspace(0, 1, SEGMENTS + 1), torch.eye(3), torch.zeros(3)
        return GlobalTransform(*(part.expand(2, *part.shape) for part in parts))

    shown, raw = (
        torch.tensor(values).view(2, 1, 1, 1).expand(2, 4, 64, 64) for values in ((0.04, 0.7), (0.01, 0.7))
    )
    after = encode_srgb(np.array([0.04, 0.01]))
    loss = base_objective(network, [shown, torch.zeros(2, 3, len(QUANTILES)), raw[:, :3]])
    assert float(loss) == pytest.approx((0.03 + after[0] - after[1]) / 2 / 2, rel=1e-4)


def test_a_short_training_of_the_base_finds_a_constant_exposure(tmp_path):
    """The initial transform is off by a factor, which a few iterations mend."""
    pictures = SimulatedPictures([], draw_scenes(4, 0, 150), load_camera("samsung_s7"))

    class Halved(WholeImages):
        def __getitem__(self, index):
            *summary, raw = super().__getitem__(index)
            return *summary, raw / 2

    torch.manual_seed(0)
    images = Halved(pictures, 30 * 4, 0)
    batch = [torch.stack(parts) for parts in zip(*(images[index] for index in range(16)))]
    network = GlobalNet()
    before = base_objective(network, batch).item()
    plan = Hyperparameters("base", 30, 4, 2e-3, 5, 0.9, "a")
    trained = fit(network, base_objective, images, plan, tmp_path, CPU)
    assert base_objective(trained, batch).item() < 0.6 * before


@pytest.mark.usefixtures("demosaic")
@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: write_dataset(folder, count=3), "3 pairs can be used; a training needs 8 or more"),
        (lambda folder: write_dataset(folder, size=36), "0 pairs can be used"),
        (lambda folder: write_dataset(folder, dark=True), "no photo has overexposed pixels"),
        (lambda folder: folder.mkdir(), "no pairs of photo and RAW in it"),
        (lambda folder: None, "no such folder"),
        (write_camera_raw, r"omf dataset .* --convert OUT"),
    ],
)
def test_too_little_training_data_gives_one_line(tmp_path, prepare, message):
    prepare(tmp_path / "pairs")
    save_network(random_unet((4, 6), 0), tmp_path / "noe.safetensors")
    with pytest.raises(InputError, match=message) as caught:
        train_stage("oe", without_base(pairs=str(tmp_path / "pairs")), tmp_path, CPU)
    assert "\n" not in str(caught.value)


def test_too_few_pairs_are_found_before_any_training(tmp_path):
    pairs = write_dataset(tmp_path / "pairs", count=3)
    (pairs / "broken.jpg").write_bytes(b"no")
    settings = without_base(pairs=str(pairs))
    with pytest.raises(InputError, match="3 pairs can be used; a training needs 8 or more"):
        train_stage("demosaic", settings, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_a_full_disk_gives_one_line(tmp_path, train):
    """Limit files to 100 kB: enough for shared data of the loader, too small for a checkpoint."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        answer = train("iterations: {base: 0, demosaic: 2, noe: 2, oe: 2}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert answer.returncode == 1
    last = answer.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and "File too large" in last
    assert not list((tmp_path / "model").glob("*.safetensors"))
    assert not list((tmp_path / "model").glob(".*"))
