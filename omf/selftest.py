"""Self-test of an installation and its GPU: each check is one line, with cause and remedy if it fails."""

import copy
import logging
import platform
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from omf.inference.base import Picture
from omf.inference.device_check import MAX_DEVIATION, check_against_cpu, sample_picture
from omf.inference.devices import device_label, has_bfloat16, pick_device, training_precision
from omf.inference.fusion import Fusion
from omf.inference.gpu import on_device
from omf.models.checkpoints import load_networks
from omf.models.registry import find_model
from omf.networks.build import build
from omf.pipeline.stream import stream
from omf.reconstructor import Reconstructor
from omf.training.loop import Hyperparameters, fit
from omf.utils.console import log
from omf.utils.errors import DeviceError, InputError, first_line
from omf.utils.machine import query_gpus
from omf.utils.version import VERSION

DEFAULT_MODEL = "samsung_s7"  # the shipped default
MAX_CHANGED = 1e-3  # fraction of values that another order of float32 operations may change by a count
CPU = torch.device("cpu")
MEGABYTE = 2**20
# relative error of a convolution, that of TF32 being a hundred times that of float32, and the fault beyond it
MAX_ERRORS = {
    "float32": (1e-5, ": TF32 is on; set NVIDIA_TF32_OVERRIDE=0"),
    "bfloat16": (4e-2, "; use precision float32"),
    "float16": (5e-3, "; use precision float32, and update the driver"),
}


class CheckFailedError(Exception):
    """A check found a fault: cause and remedy."""


class SkippedError(Exception):
    """A check does not apply to this device: the reason."""


def require(met: bool, fault: str) -> None:
    """Raise CheckFailedError with a fault unless a condition is met."""
    if not met:
        raise CheckFailedError(fault)


@dataclass(frozen=True)
class Finding:
    """Result of a check."""

    check: str
    state: str  # ok, failed or skipped
    detail: str  # measurements, or cause and remedy
    seconds: float


class SelfTest:
    """The checks of a device, auto, cpu or cuda, in the order in which one explains the next."""

    def __init__(self, name: str):
        self.name = name

    @cached_property
    def device(self) -> torch.device:
        return pick_device(self.name, own_process=True)

    @cached_property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def checks(self) -> dict[str, Callable[[], str]]:
        """The checks by name. Each returns its measurements."""
        return {
            "device": self.check_device,
            **{f"convolution in {kind}": partial(self.check_convolution, kind) for kind in MAX_ERRORS},
            "training in bfloat16": self.check_autocast,
            "model against the CPU": self.check_model,
            "model in bfloat16": partial(self.check_model_in, "bfloat16"),
            "model in float16": partial(self.check_model_in, "float16"),
            "unusual pictures": self.check_unusual_pictures,
            "small tiles": self.check_tiles,
            "little memory": self.check_little_memory,
            "stream of pictures": self.check_stream,
            "same bytes five times": self.check_repetition,
            "two reconstructors": self.check_reconstructors,
            "memory after 200 pictures": self.check_memory,
            "training, interrupted": self.check_training,
            "speed": self.check_speed,
        }

    def run(self) -> Iterator[Finding]:
        """Yield the finding of each check; after a failure of the device itself, no others."""
        for name, check in self.checks.items():
            began = time.monotonic()
            try:
                state, detail = "ok", check()
            except SkippedError as reason:
                state, detail = "skipped", str(reason)
            except (CheckFailedError, InputError, DeviceError) as error:
                state, detail = "failed", str(error)
            except Exception as error:  # any fault of a driver or a library is a finding
                state, detail = "failed", f"{type(error).__name__}: {first_line(error)}; report it"
            yield Finding(name, state, without_paths(detail), round(time.monotonic() - began, 2))
            if state == "failed" and name == "device":
                return

    def fusion(self, precision: str = "float32", device: torch.device | None = None) -> Fusion:
        """Load the default model onto a device."""
        oe, noe, base, _ = load_networks(find_model(DEFAULT_MODEL))
        return Fusion(oe, noe, device or self.device, precision, base)

    @cached_property
    def shared(self) -> Fusion:
        """The default model on the tested device."""
        return self.fusion()

    @cached_property
    def reference(self) -> Fusion:
        """The default model on the CPU, with the operations of the published code."""
        return self.fusion("published", CPU)

    def need_gpu(self) -> None:
        if not self.on_gpu:
            raise SkippedError("requires a GPU")

    def need(self, precision: str) -> None:
        """Raise SkippedError if the device does not have a precision."""
        if precision == "float16":
            self.need_gpu()
        if precision == "bfloat16" and self.on_gpu and not has_bfloat16(self.device):
            raise SkippedError("requires compute capability 8.0")

    def check_device(self) -> str:
        return ", ".join(f"{key} {value}" for key, value in describe_device(self.device).items())

    def check_convolution(self, precision: str) -> str:
        """Compare with float64."""
        self.need(precision)
        generator = torch.Generator().manual_seed(0)
        x, weight = (
            torch.randn(*shape, generator=generator, dtype=torch.float64)
            .to(getattr(torch, precision))
            .to(self.device)
            for shape in ((1, 64, 64, 64), (64, 64, 3, 3))
        )
        with on_device(self.device), torch.inference_mode():
            result = nn.functional.conv2d(x, weight).double()
            exact = nn.functional.conv2d(x.double(), weight.double())
            error = float((result - exact).abs().max() / exact.abs().max())
        measured, (most, fault) = f"relative error {error:.1e}", MAX_ERRORS[precision]
        require(error < most, f"{measured}, and that of {precision} is below {most:.0e}{fault}")
        return measured

    def check_autocast(self) -> str:
        if training_precision(self.device) != torch.bfloat16:
            raise SkippedError("training uses float32 on this device")
        x = torch.rand(1, 16, 32, 32, device=self.device, requires_grad=True)
        layer = nn.Conv2d(16, 16, 3).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = layer(x).float().square().mean()
        loss.backward()
        finite = x.grad.isfinite().all() and layer.weight.grad.isfinite().all()
        require(finite, "the gradients are not finite; update the driver")
        return "finite gradients"

    def check_model(self) -> str:
        check_against_cpu(self.shared, find_model(DEFAULT_MODEL))
        return self.compare(self.shared, [sample_picture(256, 384)])

    def check_model_in(self, precision: str) -> str:
        self.need(precision)
        return self.compare(self.fusion(precision), [sample_picture(256, 384)])

    def check_unusual_pictures(self) -> str:
        """16 bits, odd sizes, the smallest size, all and no pixels overexposed."""
        pictures = [sample_picture(96, 128, np.uint16), sample_picture(97, 131), sample_picture(2, 3)]
        dark, white = sample_picture(60, 80).rgb // 3, np.full((50, 70, 3), 255, np.uint8)
        pictures += [Picture(rgb, np.full(rgb.shape[:2], rgb is white)) for rgb in (dark, white)]
        return self.compare(self.shared, pictures)

    def check_tiles(self) -> str:
        tiled = copy.copy(self.shared)
        tiled.memory = 1  # the smallest tiles there are
        picture = overexposed(400, 600)
        return compare_counts(tiled.packed([picture])(), self.shared.packed([picture])(), "float32")

    def check_little_memory(self) -> str:
        """Tiles must shrink instead of failing."""
        self.need_gpu()
        picture = overexposed(2000, 3000)
        expected = self.shared.packed([picture])()
        torch.cuda.empty_cache()
        capped = self.fusion()
        before = capped.memory
        total = torch.cuda.get_device_properties(self.device).total_memory
        allowed = torch.cuda.memory_reserved(self.device) + 300 * MEGABYTE
        torch.cuda.set_per_process_memory_fraction(allowed / total, self.device)
        try:
            given = capped.packed([picture])()
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, self.device)
        require(capped.memory < before, "the limit of memory had no effect; report it")
        return compare_counts(given, expected, "float32")

    def check_stream(self) -> str:
        """Pictures of mixed sizes through the pipeline give what they give one at a time."""
        sizes = [(64, 96), (300, 200), (64, 96), (33, 47), (200, 300), (2, 2), (128, 128)]
        named = ((str(i), sample_picture(*size, seed=i)) for i, size in enumerate(sizes))
        pictures = {name: picture._replace(name=name) for name, picture in named}
        written: dict[str, np.ndarray] = {}
        batch = 200_000 * self.on_gpu + 1

        def write(picture: Picture, raw: np.ndarray) -> None:
            written[picture.name] = raw

        steps = stream(pictures, pictures.__getitem__, self.shared.packed, write, batch)
        problems = [f"{problem}; report it" for _, problem in steps if problem]
        require(not problems, "".join(problems[:1]))
        alone = [self.shared.packed([picture])()[0] for picture in pictures.values()]
        return compare_counts([written[name] for name in pictures], alone, "float32")

    def check_repetition(self) -> str:
        picture = overexposed(256, 384)
        first, *others = (self.shared.packed([picture])()[0] for _ in range(5))
        equal = all((first == other).all() for other in others)
        require(equal, "they differ; a faulty GPU or memory")
        return "equal"

    def check_reconstructors(self) -> str:
        """Two in one process, one of them in another thread; the caller's device stays."""
        before = torch.cuda.current_device() if self.on_gpu else None
        rgb = sample_picture(96, 128).rgb
        results: dict[str, np.ndarray] = {}

        def reconstruct(name: str) -> None:
            results[name] = Reconstructor(DEFAULT_MODEL, self.device.type).predict(rgb)

        thread = threading.Thread(target=reconstruct, args=("thread",))
        thread.start()
        reconstruct("here")
        thread.join()
        equal = len(results) == 2 and (results["here"] == results["thread"]).all()
        require(equal, "another thread gets another result, or none; report it")
        kept = not self.on_gpu or torch.cuda.current_device() == before
        require(kept, "the caller's device was changed; report it")
        return "equal"

    def check_memory(self) -> str:
        """Memory must not grow with the number of pictures."""
        pictures = [sample_picture(96, 128, seed=seed) for seed in range(4)]
        used = []
        for count in (20, 180):
            for i in range(count):
                self.shared.packed([pictures[i % 4]])()
            used.append(torch.cuda.memory_reserved(self.device) if self.on_gpu else resident_memory())
        growth = (used[1] - used[0]) / MEGABYTE
        require(growth <= 64, f"it grew by {growth:.0f} MiB; report it")
        return f"{growth:+.0f} MiB"

    def check_training(self) -> str:
        """60 iterations, cut after a checkpoint and resumed."""
        plan = Hyperparameters("selftest", 60, 4, 1e-2, 5, 0.9, "selftest", save_seconds=0)
        with quiet(), tempfile.TemporaryDirectory() as folder:
            losses: list[float] = []

            def objective(network: nn.Module, batch: list[Tensor]) -> Tensor:
                loss = (network(batch[0]).float() - batch[1]).abs().mean()
                losses.append(float(loss.detach()))
                if len(losses) == 55:
                    raise CutError
                return loss

            for _ in range(2):
                torch.manual_seed(0)
                with suppress(CutError):
                    fit(build("unet", (4, 8)), objective, Halves(plan), plan, Path(folder), self.device)
        resumed = len(losses) - 55  # from the checkpoint at 50
        require(resumed == 10, f"{resumed} iterations after it was cut, and not 10; report it")
        course = f"{losses[0]:.3f} to {losses[-1]:.3f}"
        require(losses[-1] < losses[0] / 2, f"the loss went from {course}; report it")
        return f"loss {course}, {training_precision(self.device)}"

    def check_speed(self) -> str:
        pictures = [sample_picture(504, 504, seed=seed) for seed in range(8)]
        self.shared.packed(pictures)()  # warm-up
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        began = time.perf_counter()
        for pending in [self.shared.packed([picture]) for picture in pictures]:
            pending()
        rate = len(pictures) / (time.perf_counter() - began)
        peak = torch.cuda.max_memory_allocated(self.device) if self.on_gpu else resident_memory()
        return f"{rate:.1f} images/s of 504 x 504 pixels, {peak / MEGABYTE:.0f} MiB"

    def compare(self, fusion: Fusion, pictures: list[Picture]) -> str:
        """Compare a device's RAW with the CPU's."""
        return compare_counts(
            [fusion.packed([picture])()[0] for picture in pictures],
            [self.reference.packed([picture])()[0] for picture in pictures],
            fusion.precision,
        )


class CutError(Exception):
    """The interruption of the training."""


class Halves(Dataset):
    """Training samples whose RAW is half of the photo."""

    def __init__(self, plan: Hyperparameters):
        self.length = plan.iterations * plan.batch_size

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x = torch.rand(4, 16, 16, generator=torch.Generator().manual_seed(index))
        return x, x[:3] / 2


def overexposed(height: int, width: int) -> Picture:
    """Return a picture in which OE predicts all pixels, so that it is run everywhere."""
    rgb = sample_picture(height, width).rgb
    return Picture(rgb, np.ones(rgb.shape[:2], bool))


def compare_counts(given: list[np.ndarray], expected: list[np.ndarray], precision: str) -> str:
    """Compare RAW in the challenge's counts; raises CheckFailedError beyond the bounds of a precision."""
    pairs = zip(given, expected, strict=True)
    differences = np.concatenate([np.abs(one.astype(int) - other).ravel() for one, other in pairs])
    worst, changed = differences.max(), (differences > 0).mean()
    half = precision in ("bfloat16", "float16")
    within = worst < MAX_DEVIATION[precision] if half else worst <= 1 and changed <= MAX_CHANGED
    measured = f"largest difference {worst}, {changed:.2%} of the values differ"
    require(within, f"{measured}; update the driver, or run on another GPU or the CPU")
    return measured


def describe_device(device: torch.device) -> dict[str, object]:
    """Return properties of a device that matter in a bug report."""
    software = {"PyTorch": torch.__version__, "Python": platform.python_version()}
    if device.type != "cuda":
        return {"device": device_label(device), "kernels": torch.backends.cpu.get_cpu_capability()} | software
    major, minor = torch.cuda.get_device_capability(device)
    free, total = torch.cuda.mem_get_info(device)
    drivers = query_gpus("driver_version")
    return {
        "device": device_label(device),
        "capability": f"{major}.{minor}",
        "driver": drivers[0][0] if drivers else "unknown",
        "CUDA": torch.version.cuda,
        "cuDNN": torch.backends.cudnn.version(),
        "kernels": " ".join(torch.cuda.get_arch_list()),
        "MiB free": f"{free // MEGABYTE} of {total // MEGABYTE}",
        "visible devices": torch.cuda.device_count(),
    } | software


def resident_memory() -> int:
    """Return the memory of this process in bytes."""
    return psutil.Process().memory_info().rss


def without_paths(text: str) -> str:
    """Remove absolute paths, which name users and machines."""
    return re.sub(r"(?<![\w.:/])/[^\s:;,'\")]+/[^\s:;,'\")]*", "...", text)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the log and the progress bars."""
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def report(findings: list[Finding], test: SelfTest) -> dict:
    """Return the contents of the report for a bug: no paths, no names of users or machines."""
    has_device = any(finding.check == "device" and finding.state == "ok" for finding in findings)
    return {
        "version": VERSION,
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "device": describe_device(test.device) if has_device else None,
        "checks": [asdict(finding) for finding in findings],
    }
