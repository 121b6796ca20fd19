"""Fixtures and helpers shared by the tests."""

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from container.apptainer import apptainer, sif  # noqa: F401
from container.engine import docker, image  # noqa: F401
from hypothesis import settings
from storage.s3_server import bucket, s3_environment, s3_server, unreliable  # noqa: F401
from warm_snakemake import run_warm

from omf import cli
from omf.models.checkpoints import save_network
from omf.networks.global_net import GlobalNet
from omf.networks.spread_net import SpreadNet
from omf.networks.unet import UNet
from omf.utils import written
from omf.utils.console import log
from omf.utils.paths import HOME

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "tests" / "reference"
PHOTOS = ("coffee.jpg", "chart.png", "leaves_odd.jpg", "night_tall.tif")  # small samples of several kinds

sys.path.insert(0, str(REFERENCE))

settings.register_profile("omf", deadline=None)  # machine speeds vary too much
settings.load_profile("omf")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run slow tests too")
    parser.addoption(
        "--thorough",
        action="store_true",
        help="run all cases of slow tests, in tests/faults those of docs/reliability.md; takes hours",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the slowest folders first, and deselect slow tests unless requested by option or name."""
    first = ("workflow", "cluster", "container", "storage")
    items.sort(key=lambda item: item.path.parent.name not in first)
    if skips_slow_tests(config):
        slow = [item for item in items if item.get_closest_marker("slow")]
        items[:] = [item for item in items if item not in slow]
        config.hook.pytest_deselected(items=slow)


def skips_slow_tests(config: pytest.Config) -> bool:
    named = any("::" in argument for argument in config.args)
    return not (config.getoption("--all") or config.getoption("--thorough") or named)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Run each file in one worker, and files that share a slow fixture in one."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            # test_jobs_in_the_image is of tests/cluster/test_slurm.py, whose others need none
            needs_image = file.startswith(("tests/container/", "tests/cluster/test_kubernetes"))
            if needs_image or test == "test_jobs_in_the_image":
                return "images"
            return "runs" if Path(file).stem in ("test_kill", "test_resources", "test_concurrency") else file

    return ByFile(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if skips_slow_tests(config):
        left_out = "slow tests are skipped (kills, clusters, containers, large photos, ...)"
        terminalreporter.write_line(f"{left_out}; run them with: ./check --all")


def project_files(pattern: str = "*") -> list[Path]:
    """Return the files that git tracks or would add.

    Without git or its history: all files outside hidden folders that no run has written.
    """
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = run("git", "ls-files", "-co", "--exclude-standard", "-z", pattern)
        listed.check_returncode()
        return [ROOT / name for name in sorted(listed.stdout.split("\0")) if name and (ROOT / name).is_file()]
    generated = {"results", "__pycache__"}
    return sorted(
        path
        for top in ROOT.iterdir()
        if not top.name.startswith(".") and top.name not in generated
        for path in (top.rglob(pattern) if top.is_dir() else [top])
        if path.is_file() and path.match(pattern) and not generated & set(path.parts)
    )


@pytest.fixture(autouse=True)
def no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin each test outside of commands, since some tests call `main`."""
    monkeypatch.setattr(written, "command", written.Command())
    monkeypatch.setattr(written, "lists", {})


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """True with --thorough: run all cases."""
    return request.config.getoption("--thorough")


def random_unet(widths: tuple[int, ...], seed: int, in_channels: int = 4, out_channels: int = 3) -> UNet:
    """Return a U-Net with non-trivial batch-norm statistics and outputs spread over [0, 1]."""
    torch.manual_seed(seed)
    network = UNet(widths, in_channels, out_channels).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.8, 1.2)
            torch.nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.1, 0.4)
    torch.nn.init.normal_(network.Conv.weight, std=0.1)
    torch.nn.init.constant_(network.Conv.bias, 0.4)
    return network


def random_base(seed: int) -> GlobalNet:
    """Return a base network whose transforms vary between photos."""
    torch.manual_seed(seed)
    network = GlobalNet().eval()
    torch.nn.init.normal_(network.head[-1].weight, std=0.05)
    return network


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small untrained OE/NOE pair that runs fast."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    for seed, branch in enumerate(("oe", "noe")):
        save_network(random_unet((4, 6, 8), seed), folder / f"{branch}.safetensors")
    return folder


@pytest.fixture(scope="session")
def published_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the reference checkpoints: published names, shapes and format."""
    import reference_checkpoint

    folder = tmp_path_factory.mktemp("published")
    reference_checkpoint.main(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small untrained model of base network, OE and spread network."""
    folder = tmp_path_factory.mktemp("model") / "tiny_base"
    save_network(random_base(0), folder / "base.safetensors")
    save_network(random_unet((4, 6, 8), 0, in_channels=7), folder / "oe.safetensors")
    torch.manual_seed(0)
    save_network(SpreadNet(), folder / "spread.safetensors")
    return folder


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the user's models, an empty one in place of that of this checkout."""
    monkeypatch.setenv(HOME, str(tmp_path / "own"))
    folder = tmp_path / "own" / "trained_models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Return a folder with four small photos of different kinds."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in PHOTOS:
        (folder / name).write_bytes((ROOT / "test_rgb" / name).read_bytes())
    return folder


def run(*command: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """Run a command and capture stdout and stderr as text."""
    options = {"cwd": cwd, "env": os.environ | environment, "timeout": 900}
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)


def omf(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """Run the `omf` command line."""
    return run(sys.executable, "-m", "omf", *arguments, **environment)


@pytest.fixture
def call_omf(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> Iterator[Callable[..., subprocess.CompletedProcess]]:
    """Yield a function that does as `omf`, in this process, which keeps its log and signals."""

    def call(*arguments: object) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", ["omf", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        code = end.value.code
        if isinstance(code, str):  # the line that Python would print
            code, err = 1, f"{err}{code}\n"
        return subprocess.CompletedProcess(arguments, code, out, err)

    monkeypatch.setattr(log, "handlers", log.handlers)
    monkeypatch.setattr(log, "propagate", log.propagate)
    level = log.level
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    with warnings.catch_warnings():
        yield call
    log.setLevel(level)
    for handler in handlers:
        signal.signal(*handler)


@pytest.fixture
def omf_lines(call_omf: Callable[..., subprocess.CompletedProcess]) -> Callable[..., tuple[int, list[str]]]:
    """Return a function that does as `omf`, and returns its exit code and the lines of stderr."""

    def call(*arguments: object) -> tuple[int, list[str]]:
        answer = call_omf(*arguments)
        return answer.returncode, answer.stderr.splitlines()

    return call


def draw_few_scenes(program: Path) -> None:
    """Let trainings with a copy of the program draw 8 scenes: all 96 take longer than a tiny training."""
    sources = program / "omf" / "training" / "sources.py"
    text = sources.read_text()
    assert "\nDRAWN = 96 " in text
    sources.write_text(text.replace("\nDRAWN = 96 ", "\nDRAWN = 8 "))


def snakemake(
    folder: Path, *arguments: object, root: Path = ROOT, **config: object
) -> subprocess.CompletedProcess:
    """Run the workflow of this repository (or of the copy in `root`) with `folder` as working directory."""
    settings = ["--config", *(f"{key}={value}" for key, value in config.items())] if config else []
    files = ("--snakefile", root / "Snakefile", "--directory", folder)
    return run_warm(*files, *arguments, *settings, cwd=ROOT)


def wait_for(condition: Callable[[], object], seconds: float = 240) -> None:
    """Wait until a condition is met."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@contextmanager
def control_group(limit: int) -> Iterator[Path]:
    """Create a control group with a limit of memory, bytes; processes that exceed it are killed."""
    name, group = "memory.max", Path(f"/sys/fs/cgroup/omf-test-{os.getpid()}")
    if (group.parent / "memory").is_dir():
        name, group = "memory.limit_in_bytes", group.parent / "memory" / group.name
    try:
        group.mkdir()
        (group / name).write_text(str(limit))
    except OSError:
        group.rmdir() if group.is_dir() else None
        pytest.skip("needs permission to create a control group")
    try:
        yield group
    finally:
        group.rmdir()


def assert_as_close(given: torch.Tensor, plain: torch.Tensor, exact: torch.Tensor) -> None:
    """Assert that a float32 result is about as close to float64 as the plain float32 computation is.

    Both run on this processor. An error of four units in the last place is always allowed, because the plain
    result may happen to be exact.

    Args:
        given: result under test, float32.
        plain: result of the plain computation, float32.
        exact: result in float64.
    """
    scale = float(exact.abs().max())
    error, plain_error = (float((result.double() - exact).abs().max()) for result in (given, plain))
    assert error <= 8 * max(plain_error, scale * 2**-22), (error, plain_error)


def random_rgb(height: int, width: int, seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    """Return a smooth random sRGB image with overexposed pixels: (height, width, 3) of `dtype`."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    rng = np.random.default_rng(seed)
    wave = 0.5 + 0.6 * np.sin(12 * x + 9 * y**2 + rng.uniform(0, 6))
    rgb = np.stack([wave, 1.1 * wave**2, 0.3 + 0.8 * wave], axis=-1) + rng.normal(0, 0.05, (height, width, 3))
    return (np.clip(rgb, 0, 1) * np.iinfo(dtype).max).astype(dtype)
