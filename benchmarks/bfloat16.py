"""All that bfloat16 brings on this processor, in five to eight minutes.

    python benchmarks/bfloat16.py PHOTOS --out benchmarks/bfloat16.md --plot docs/bfloat16.png

PHOTOS are crops of about 504 x 504 pixels, such as the challenge's. Rows of a table take turns. Three
products stand for one in float32: of the high and the low half of each value, without that of both low
halves, each in oneDNN's implicit mode (`fp32_precision = "bf16"`), where a processor has it; weights are
packed once. Both trainings are those of NOE on the same patches, in autocast and without.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from reporting import evenly_spaced, head, make_parser, median_and_range, publish, save_plot
from speed import ROOT, Plain, clock, networks, predict_all, predict_plainly
from torch import Tensor, nn
from tqdm import tqdm
from training_speed import train_noe

from omf.inference.devices import device_label, pick_device
from omf.inference.fusion import Fusion
from omf.io.photos import find_photos
from omf.networks.fused_unet import FusedUNet
from omf.networks.onednn import WinogradConv
from omf.networks.unet import PUBLISHED_WIDTHS
from omf.raw.camera import load_camera
from omf.training import loop
from omf.training.settings import Iterations, TrainingSettings
from omf.training.sources import SimulatedPictures, draw_scenes
from omf.utils.errors import cli_entry_point

CPU = torch.device("cpu")
CHANNELS, SIDE = 256, 128  # of the single convolution
IMAGE = 512  # side of the image at the published widths, pixels
LARGE = (3024, 4032)  # a photo of 12 megapixels
TRAINING = ([16, 32, 64, 128, 256], 120, 12)  # widths, iterations, patches of each
Row = tuple[Callable[[], Tensor], float]  # work, and its error


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run with a number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def halves(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the high half of float32 values, which bfloat16 holds, and the rest."""
    high = values.bfloat16().float()
    return high, values - high


def three_products(x: Tensor, kernels: list[Tensor]) -> Tensor:
    """Multiply by packed high and low halves of a matrix, in oneDNN's implicit mode."""
    settings = torch.backends.mkldnn.matmul
    before, settings.fp32_precision = settings.fp32_precision, "bf16"
    try:
        high, low = halves(x)
        return product(high, kernels[0]) + product(low, kernels[0]) + product(high, kernels[1])
    finally:
        settings.fp32_precision = before


def product(x: Tensor, kernel: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, kernel, None, "none", [], "")


def pack(weight: Tensor, rows: int) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)


def single_layers() -> dict[str, Row]:
    """Return one convolution and one of Winograd's matrix products, in several ways, with their errors."""
    x = torch.randn(1, CHANNELS, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).to(memory_format=torch.channels_last)
    half = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).to(torch.bfloat16, memory_format=torch.channels_last)
    half.load_state_dict(conv.state_dict())
    winograd, x_half = WinogradConv(conv.weight, conv.bias), x.bfloat16()
    exact = nn.functional.conv2d(x.double(), conv.weight.double(), conv.bias.double(), padding=1)
    rows = SIDE**2 // 4
    matrix, values = torch.randn(CHANNELS, CHANNELS) / CHANNELS**0.5, torch.randn(rows, CHANNELS)
    exact_product = values.double() @ matrix.double().T
    packed, packed_half = pack(matrix, rows), pack(matrix.bfloat16(), rows)
    packed_halves, values_half = [pack(part, rows) for part in halves(matrix)], values.bfloat16()
    work = {
        "convolution: float32": (lambda: conv(x), exact),
        "convolution: Winograd, float32": (lambda: winograd(x), exact),
        "convolution: bfloat16": (lambda: half(x_half), exact),
        "matrix product: float32": (lambda: product(values, packed), exact_product),
        "matrix product: three of bfloat16": (lambda: three_products(values, packed_halves), exact_product),
        "matrix product: bfloat16": (lambda: product(values_half, packed_half), exact_product),
    }
    return {name: (run, float((run().double() - truth).abs().mean())) for name, (run, truth) in work.items()}


def whole_networks() -> dict[str, Row]:
    """Return a U-Net of the published widths on one image, in each precision, with the errors."""
    unet, _ = networks(list(PUBLISHED_WIDTHS))
    x = torch.rand(1, 4, IMAGE, IMAGE)
    exact = unet.body(x)
    bodies = {
        "plain": unet.body,
        "float32": FusedUNet(unet, onednn=True),
        "bfloat16": FusedUNet(unet, torch.bfloat16, onednn=True),
    }
    return {
        f"U-Net of the published widths, {IMAGE} x {IMAGE}: {name}": (
            partial(body, x),
            float((body(x) - exact).abs().mean()),
        )
        for name, body in bodies.items()
    }


def time_rows(rows: dict[str, Row], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each row, which take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, (work, _) in rows.items():
            seconds[name].append(clock(work, CPU))
    return seconds


def end_to_end(photos: list[Path], rounds: int) -> dict[str, list[float]]:
    """Return seconds per image from files to files at the published widths."""
    both = networks(list(PUBLISHED_WIDTHS))
    runs = {"plain execution": partial(predict_plainly, plain=Plain(*both, CPU))}
    for precision in ("float32", "bfloat16"):
        fusion = Fusion(*networks(list(PUBLISHED_WIDTHS)), CPU, precision)
        runs[f"`precision: {precision}`"] = partial(predict_all, fusion=fusion)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            # plain execution takes long, and as long for each image
            given = photos[:: max(len(photos) // 4, 1)] if name == "plain execution" else photos
            with tempfile.TemporaryDirectory() as out:
                seconds[name].append(clock(partial(run, given, Path(out)), CPU) / len(given))
    return seconds


def large_photo(precision: str) -> str:
    """Return seconds and peak memory of a photo of 12 megapixels at the published widths."""
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "large.png"
        smooth = np.random.default_rng(0).integers(0, 200, (*(side // 16 for side in LARGE), 3), np.uint8)
        iio.imwrite(photo, np.kron(smooth, np.ones((16, 16, 1), np.uint8)))
        command = [sys.executable, ROOT / "benchmarks" / "speed.py", photo, "--peak", precision]
        return subprocess.check_output([*map(str, command)], text=True).strip()


def train(precision: torch.dtype) -> tuple[list[float], list[float]]:
    """Train NOE; return the losses, and patches per second without the first part."""
    widths, iterations, batch = TRAINING
    pictures = SimulatedPictures([], draw_scenes(16, 0), load_camera("samsung_s7"))
    settings = TrainingSettings(network="unet", widths=widths, iterations=Iterations(base=0, noe=1))
    loop.training_precision = lambda device: precision
    torch.manual_seed(0)
    return train_noe(settings, batch, pictures, iterations, CPU, warmup=10, parts=12)


def draw(losses: dict[str, list[float]], out: Path) -> None:
    """Plot the losses of both trainings."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    for (name, values), colour in zip(losses.items(), ("#0072b2", "#d55e00")):
        steps = np.arange(1, len(values) + 1) * TRAINING[1] // len(values)
        axes.plot(steps, values, color=colour, label=name)
    axes.set(xlabel="iteration", ylabel="loss of NOE", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    save_plot(figure, out)


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=12, help="number of photos, evenly spaced by name")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--plot", type=Path, help="PNG of the losses of both trainings")
    arguments = parser.parse_args()
    photos = evenly_spaced(find_photos(arguments.photos), arguments.count)
    pick_device("cpu", own_process=True)
    torch.manual_seed(0)
    progress = tqdm(total=5, unit="part", disable=None)
    lines = [f"{device_label(CPU)}; median (min to max) of {arguments.rounds} interleaved rounds", ""]
    lines += head("one thread", "ms", "mean error")
    with threads(1), torch.inference_mode():
        for make in (single_layers, whole_networks):
            rows = make()
            for name, seconds in time_rows(rows, arguments.rounds).items():
                milliseconds = median_and_range([1000 * value for value in seconds], 1)
                lines.append(f"| {name} | {milliseconds} | {rows[name][1]:.1e} |")
            progress.update()
    lines += ["", f"Files to files at the published widths, {len(photos)} photos:", ""]
    lines += head("", "s/image", "speed-up")
    measured = end_to_end(photos, arguments.rounds)
    plain = np.median(measured["plain execution"])
    for name, seconds in measured.items():
        lines.append(f"| {name} | {median_and_range(seconds, 2)} | {plain / np.median(seconds):.1f} |")
    progress.update()
    lines += [
        "",
        f"A photo of 12 megapixels at the published widths, bfloat16: {large_photo('bfloat16')}",
        "",
    ]
    progress.update()
    losses: dict[str, list[float]] = {}
    lines += head("training, widths 16-32-64-128-256", "patches/s", "last loss")
    for name, precision in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        losses[name], rates = train(precision)
        lines.append(f"| {name} | {median_and_range(rates, 1)} | {losses[name][-1]:.4f} |")
    progress.close()
    publish(lines, arguments.out)
    if arguments.plot:
        draw(losses, arguments.plot)


if __name__ == "__main__":
    main()
