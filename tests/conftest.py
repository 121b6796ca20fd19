"""What several tests need."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from container.engine import definition_image, docker, image  # noqa: F401
from hypothesis import settings

from omf.models.checkpoints import save_network
from omf.networks.unet import UNet

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "tests" / "reference"
PHOTOS = ("hills.jpg", "chart.png", "leaves_odd.jpg", "night_tall.tif")  # small samples of different kinds

sys.path.insert(0, str(REFERENCE))

settings.register_profile("omf", deadline=None)  # machines differ too much in speed
settings.load_profile("omf")


LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run slow tests too")
    parser.addoption(
        "--thorough",
        action="store_true",
        help="tests/faults: as many cases as docs/reliability.md counts, which takes hours",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the folders that take longest; leave out slow tests, unless they are asked for: by an option, or by name."""
    first = ("workflow", "cluster", "container")
    items.sort(key=lambda item: item.path.parent.name not in first)
    named = any("::" in argument for argument in config.args)
    if config.getoption("--all") or config.getoption("--thorough") or named:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
    config.stash[LEFT_OUT] = len(slow)
    if hasattr(config, "workeroutput"):  # in a process of pytest-xdist
        config.workeroutput["left_out"] = len(slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Give a file to one process, whose fixtures are made once; and all that needs a Docker engine."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "tests/container" if file.startswith("tests/container/") else file

    return ByFile(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node) -> None:
    node.config.stash[LEFT_OUT] = node.workeroutput.get("left_out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if slow := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{slow} slow tests are left out (kills, clusters, containers, large photos, ...); run them with: ./check --all"
        )


def files_of_the_project(pattern: str = "*") -> list[Path]:
    """The files that git tracks or would take; without git or its history, those in no hidden folder and not made by a run."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z", pattern]
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = (
            subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
        )
        return [ROOT / name for name in sorted(listed) if name and (ROOT / name).is_file()]
    made = {"results", "__pycache__"}
    return sorted(
        path
        for top in ROOT.iterdir()
        if not top.name.startswith(".") and top.name not in made
        for path in (top.rglob(pattern) if top.is_dir() else [top])
        if path.is_file() and path.match(pattern) and not made & set(path.parts)
    )


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether there is time for all cases."""
    return request.config.getoption("--thorough")


def random_unet(widths: tuple[int, ...], seed: int) -> UNet:
    """A U-Net with batch-norm statistics that are not trivial, and outputs spread over [0, 1]."""
    torch.manual_seed(seed)
    network = UNet(widths).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.8, 1.2)
            torch.nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.1, 0.4)
    torch.nn.init.normal_(network.Conv.weight, std=0.1)
    torch.nn.init.constant_(network.Conv.bias, 0.4)
    return network


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained OE/NOE pair that runs in no time."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    for seed, branch in enumerate(("oe", "noe")):
        save_network(random_unet((4, 6, 8), seed), folder / f"{branch}.safetensors")
    return folder


@pytest.fixture(scope="session")
def published_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the reference checkpoints: published names, shapes and format."""
    import reference_checkpoint

    folder = tmp_path_factory.mktemp("published")
    reference_checkpoint.main(folder)
    return folder


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Four small photos of different kinds."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in PHOTOS:
        (folder / name).write_bytes((ROOT / "test_rgb" / name).read_bytes())
    return folder


def run(*command: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """Run a command; stdout and stderr come back as text."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=900,
    )


def omf(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    return run(sys.executable, "-m", "omf", *arguments, **environment)


def snakemake(
    folder: Path, *arguments: object, root: Path = ROOT, **config: object
) -> subprocess.CompletedProcess:
    """Run the workflow, or that of a copy of the program in `root`, with `folder` as working directory."""
    settings = [f"{key}={value}" for key, value in config.items()]
    return run(
        Path(sys.executable).parent / "snakemake",
        "--snakefile",
        root / "Snakefile",
        "--directory",
        folder,
        *arguments,
        *(["--config", *settings] if settings else []),
    )


def assert_as_close(given: torch.Tensor, plain: torch.Tensor, exact: torch.Tensor, times: float = 8) -> None:
    """A float32 answer lies about as near to the one in float64 as the plain way to compute it, on this processor.

    Where chance makes the plain one right to the last bit, an error of four last bits is allowed for.
    """
    scale = float(exact.abs().max())
    error, usual = (float((answer.double() - exact).abs().max()) for answer in (given, plain))
    assert error <= times * max(usual, scale * 2**-22), (error, usual)


def random_rgb(height: int, width: int, seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    """A smooth sRGB picture that holds overexposed pixels."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    rng = np.random.default_rng(seed)
    wave = 0.5 + 0.6 * np.sin(12 * x + 9 * y**2 + rng.uniform(0, 6))
    rgb = np.stack([wave, 1.1 * wave**2, 0.3 + 0.8 * wave], axis=-1) + rng.normal(0, 0.05, (height, width, 3))
    return (np.clip(rgb, 0, 1) * np.iinfo(dtype).max).astype(dtype)
