"""Speed of inference: plain execution compared with each optimisation and with all of them.

    python benchmarks/speed.py PHOTOS                the tables; PHOTOS: a folder of photos
    python benchmarks/speed.py PHOTOS --workflow     the workflow against `omf predict`, default model, all
    python benchmarks/speed.py PHOTO --peak float32  a single row, for large photos: seconds and peak memory

Plain execution is a straightforward implementation of the published procedure: one image at a time, eager
PyTorch in float32, both networks everywhere; on a GPU also with PyTorch's default settings, which round
convolutions to TF32. All variants run on the same images in several interleaved rounds. Those that keep freed
memory run in a separate process, since that setting affects the entire process. Rows for ONNX Runtime and
OpenVINO appear if these are installed; the program does not need them. Without a C compiler the row of
torch.compile is left out.
"""

import argparse
import copy
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from reporting import head, median_and_range, publish
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from omf.inference.base import Picture
from omf.inference.devices import device_label, pick_device
from omf.inference.fusion import Fusion
from omf.inference.gpu import on_device
from omf.inference.tiling import needed_cells
from omf.io.photos import find_photos
from omf.io.raw_formats import RawFormat, Writer
from omf.networks.base import BORDER, network_input
from omf.networks.fused_unet import FusedUNet
from omf.networks.onednn import can_use_onednn
from omf.networks.unet import PUBLISHED_WIDTHS, UNet
from omf.pipeline.predict import predict
from omf.raw.bayer import to_challenge_format
from omf.raw.camera import load_camera
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import cli_entry_point, first_line
from omf.utils.files import save_json

ROOT = Path(__file__).parent.parent


def networks(widths: list[int]) -> tuple[UNet, UNet]:
    """Return OE and NOE with random weights, which cost as much as trained ones."""
    torch.manual_seed(0)
    return UNet(widths).eval(), UNet(widths).eval()


class Plain:
    """Plain execution of the published procedure."""

    pixels_per_batch = 1

    def __init__(self, oe: nn.Module, noe: nn.Module, device: torch.device):
        self.oe, self.noe, self.device = oe.to(device), noe.to(device), device

    @torch.no_grad()
    def packed(self, pictures):
        x = network_input(pictures[0].rgb, pictures[0].mask).to(self.device)
        oe, noe = self.oe(x).clamp(0, 1), self.noe(x).clamp(0, 1)
        raw = torch.where(x[:, 3:] == 1, oe, noe)[0].permute(1, 2, 0).cpu().numpy()
        return lambda: [to_challenge_format(raw)]


class Everywhere:
    """Both networks everywhere, run by given functions: the effect of a single optimisation."""

    pixels_per_batch = 1

    def __init__(self, bodies: list[Callable], pad: Callable, device: torch.device):
        self.bodies, self.pad, self.device = bodies, pad, device

    @torch.inference_mode()
    def packed(self, pictures):
        rgb, mask = pictures[0].rgb, pictures[0].mask
        x = self.pad(network_input(rgb, mask)).to(self.device)
        oe, noe = (
            body(x)[..., BORDER : BORDER + mask.shape[0], BORDER : BORDER + mask.shape[1]].clamp(0, 1)
            for body in self.bodies
        )
        raw = (
            torch.where(torch.from_numpy(mask).to(self.device), oe, noe)[0]
            .permute(1, 2, 0)
            .float()
            .cpu()
            .numpy()
        )
        return lambda: [to_challenge_format(raw)]


def without_batch_norm(unet: UNet) -> UNet:
    """Return a copy with batch norm folded by PyTorch's own function."""
    unet = copy.deepcopy(unet)
    for sequence in [module for module in unet.modules() if isinstance(module, nn.Sequential)]:
        for i, module in enumerate(sequence):
            if isinstance(module, nn.BatchNorm2d):
                sequence[i - 1], sequence[i] = fuse_conv_bn_eval(sequence[i - 1], module), nn.Identity()
    return unet


def channels_last(unet: UNet) -> Callable:
    unet = unet.to(memory_format=torch.channels_last)
    return lambda x: unet.body(x.contiguous(memory_format=torch.channels_last))


def compile_onnx_runtime(unet: UNet, example: torch.Tensor) -> Callable:
    import onnxruntime

    body = copy.deepcopy(unet)
    body.forward = body.body
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(body, (example,), f"{folder}/body.onnx", dynamo=False, input_names=["x"])
        session = onnxruntime.InferenceSession(f"{folder}/body.onnx", providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def compile_openvino(unet: UNet, example: torch.Tensor) -> Callable:
    import openvino

    body = copy.deepcopy(unet)
    body.forward = body.body
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = openvino.convert_model(body, example_input=example)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: torch.from_numpy(compiled(x.numpy())[0].copy())


@dataclass
class Row:
    """A row of the table: a method and its number of operations, without skipped and folded ones."""

    name: str
    method: object
    operations: float
    dtype: torch.dtype = torch.float32  # of the matrix product to compare with
    tf32: bool = False  # on a GPU: with PyTorch's default settings


PLAIN = "plain execution"
PLAIN_TF32 = "plain execution, PyTorch's default (TF32)"
COMPILED = "+ torch.compile"
PRODUCTS = 5  # timed matrix products
OURS = {
    "published": "`precision: published`",
    "float32": "`precision: float32`, the default",
    "bfloat16": "`precision: bfloat16`",
    "float16": "`precision: float16`",
}


class Worker:
    """The rows that run in one process.

    Args:
        photos: photo files.
        widths: widths of the networks.
        ours: True to set up the process as `omf` does and run its precisions; False to run plain execution
            and single optimisations.
    """

    def __init__(self, photos: list[Path], widths: list[int], ours: bool):
        self.device = pick_device("auto", own_process=True) if ours else plain_device()
        self.photos = photos
        self.pictures = [Picture(rgb, overexposure_mask(rgb)) for rgb in map(iio.imread, photos)]
        rows = our_rows if ours else single_rows
        self.rows = {row.name: row for row in rows(widths, self.pictures, self.device)}
        self.left_out: list[str] = []
        for row in list(self.rows.values()):  # warm up, which includes torch.compile
            try:
                first = self.pictures[:1] if self.device.type == "cpu" else self.pictures
                self.run(row, lambda row=row, first=first: run_all(row.method, first))
            except Exception as error:  # without a compiler
                if row.name != COMPILED:
                    raise
                self.left_out.append(f"{row.name}: {first_line(error)}")
                del self.rows[row.name]

    def run(self, row: Row, work: Callable[[], object]) -> float:
        """Return the duration of a call in seconds, with the settings of a row."""
        with nullcontext() if row.tf32 else on_device(self.device):
            return clock(work, self.device)

    def operations(self) -> dict[str, float]:
        return {row.name: row.operations for row in self.rows.values()}

    def dtypes(self) -> dict[str, torch.dtype]:
        return {row.name: row.dtype for row in self.rows.values()}

    def notes(self) -> list[str]:
        """Return the rows that are left out, with the reason."""
        return self.left_out

    def networks(self, name: str) -> float:
        """Return seconds from images to packed Bayer."""
        row = self.rows[name]
        return self.run(row, lambda: run_all(row.method, self.pictures))

    def files(self, name: str) -> float:
        """Return seconds from files to files."""
        row = self.rows[name]
        with tempfile.TemporaryDirectory() as folder:
            run = predict_plainly if isinstance(row.method, Plain) else predict_all
            return self.run(row, lambda: run(self.photos, Path(folder), row.method))

    @torch.inference_mode()
    def product_rate(self, dtype: torch.dtype, side: int) -> float:
        """Return operations per second of a matrix product; on a CPU, the best of PyTorch and oneDNN.

        The matrices have `side` rows and columns. The product is warmed up. On a GPU, float32 is IEEE
        float32.
        """
        a, b = (torch.rand(side, side, device=self.device, dtype=dtype) for _ in range(2))
        products = [lambda: a @ b]
        if self.device.type == "cpu" and can_use_onednn(dtype):
            packed = torch.ops.mkldnn._reorder_linear_weight(b, side)
            products.append(lambda: torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], ""))
        with on_device(self.device):
            for product in products:
                product()
            seconds = min(
                clock(lambda product=product: [product() for _ in range(PRODUCTS)], self.device)
                for product in products
            )
        return PRODUCTS * 2 * side**3 / seconds


def plain_device() -> torch.device:
    """Return a GPU, or the CPU, without any configuration of PyTorch."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


class WorkerProcess:
    """A `Worker` in a separate process."""

    def __init__(self, photos: list[Path], widths: list[int], ours: bool):
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), start_worker, (photos, widths, ours))

    def call(self, method: str, *arguments):
        """Call a method of the worker and return its result."""
        return self.pool.submit(call_worker, method, *arguments).result()


def start_worker(*arguments) -> None:
    global worker
    worker = Worker(*arguments)


def call_worker(method: str, *arguments):
    return getattr(worker, method)(*arguments)


def single_rows(widths: list[int], pictures: list, device: torch.device) -> list[Row]:
    """Return the rows of plain execution and of each optimisation."""
    both = networks(widths)
    pad, on_cpu = both[0].pad, device.type == "cpu"
    plain_cost, folded_cost = operations_per_pixel(widths)
    everywhere, needed = pixels_to_run(Fusion(*copy.deepcopy(both), device), pictures)
    folded = [without_batch_norm(unet).to(device) for unet in both]
    fused = [FusedUNet(unet, torch.float32 if on_cpu else torch.float16).to(device) for unet in both]
    variants = {
        "both everywhere, batch norm folded": ([unet.body for unet in folded], plain_cost),
        "+ channels last": ([channels_last(copy.deepcopy(unet)) for unet in folded], plain_cost),
        "+ up-convolutions before up-sampling" + ("" if on_cpu else ", float16"): (fused, folded_cost),
        COMPILED: ([torch.compile(body) for body in fused], folded_cost),
    }
    if on_cpu:
        variants["+ Winograd convolution instead of torch.compile"] = (
            [FusedUNet(unet, onednn=True) for unet in both],
            folded_cost,
        )
        example = pad(torch.rand(1, 4, *pictures[0].mask.shape))
        for name, package, make in (
            ("ONNX Runtime", "onnxruntime", compile_onnx_runtime),
            ("OpenVINO", "openvino", compile_openvino),
        ):
            if importlib.util.find_spec(package):
                variants[f"both everywhere, {name}"] = [make(unet, example) for unet in both], plain_cost
    half = torch.float32 if on_cpu else torch.float16
    dtypes = {name: half for name, (bodies, _) in variants.items() if bodies is fused or name == COMPILED}
    plain = Plain(*copy.deepcopy(both), device)
    rows = [Row(PLAIN, plain, plain_cost * everywhere)]
    if not on_cpu:
        rows.append(Row(PLAIN_TF32, plain, plain_cost * everywhere, tf32=True))
    return [
        *rows,
        Row(
            "each only where the mask requires it",
            Fusion(*copy.deepcopy(both), device, "published"),
            plain_cost * needed,
        ),
        *(
            Row(name, Everywhere(bodies, pad, device), cost * everywhere, dtypes.get(name, torch.float32))
            for name, (bodies, cost) in variants.items()
        ),
    ]


def our_rows(widths: list[int], pictures: list, device: torch.device) -> list[Row]:
    """Return the rows of all optimisations together, as `omf` runs them."""
    both = networks(widths)
    plain_cost, folded_cost = operations_per_pixel(widths)
    rows = []
    for precision in precisions(device):
        fusion = Fusion(*copy.deepcopy(both), device, precision)
        everywhere, needed = pixels_to_run(fusion, pictures)
        cost = plain_cost if precision == "published" else folded_cost
        dtype = torch.float32 if precision == "published" else getattr(torch, precision)
        rows.append(Row(OURS[precision], fusion, cost * needed, dtype))
    if device.type == "cpu":
        rows.insert(
            0, Row("plain execution, freed memory kept", Plain(*both, device), plain_cost * everywhere)
        )
    return rows


def precisions(device: torch.device) -> list[str]:
    """Return the precisions available on a device."""
    return [precision for precision in OURS if precision != "float16" or device.type == "cuda"]


def pixels_to_run(fusion: Fusion, pictures: list) -> tuple[int, int]:
    """Return the number of pixels that both networks process, without and with skipping."""
    masks = [picture.mask for picture in pictures]
    everywhere = needed = 0
    for branch in fusion.branches:
        cells = sum(needed_cells(np.ones_like(mask), branch.grid, BORDER).size for mask in masks)
        cells_needed = sum(tile.outer.cells for tile in branch.tiles(masks, branch.max_cells(fusion.memory)))
        everywhere += cells * branch.grid**2
        needed += cells_needed * branch.grid**2
    return everywhere, needed


def operations_per_pixel(widths: list[int]) -> list[float]:
    """Return the floating-point operations per pixel of a U-Net, as published and folded."""
    costs = []
    with torch.device("meta"), torch.inference_mode():
        unet = UNet(widths).eval()
        x = torch.rand(1, 4, 32 * unet.grid, 32 * unet.grid)
        for run in (unet.body, FusedUNet(unet)):
            with FlopCounterMode(display=False) as counter:
                run(x)
            costs.append(counter.get_total_flops() / x[0, 0].numel())
    return costs


def run_all(method, pictures: list) -> None:
    """Run a method on all images in batches of its size."""
    pending, group = [], []
    for picture in pictures:
        picture = picture._replace(rgb=picture.rgb.view())  # so that the base network judges it each time
        group.append(picture)
        if sum(picture.mask.size for picture in group) >= method.pixels_per_batch:
            pending.append(method.packed(group))
            group = []
    if group:
        pending.append(method.packed(group))
    for wait in pending:
        wait()


def predict_plainly(photos: list[Path], out: Path, plain: Plain) -> None:
    """Process files to files, one after the other."""
    for photo in photos:
        rgb = iio.imread(photo)
        np.save(out / f"{photo.stem}.npy", plain.packed([Picture(rgb, overexposure_mask(rgb))])()[0])


def predict_all(photos: list[Path], out: Path, fusion: Fusion) -> None:
    """Process files to files as `omf predict` does."""
    writer = Writer(out, RawFormat(), load_camera("samsung_s7"), "")
    if problems := predict(photos, fusion, writer):
        raise RuntimeError(problems[0])


def clock(work: Callable[[], object], device: torch.device) -> float:
    """Return the duration of a call in seconds."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def compare(photos: list[Path], widths: list[int], rounds: int, side: int, out: Path) -> None:
    """Write the tables: networks only, and files to files."""
    device = plain_device()
    if device.type == "cuda":
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # the same GPU for both processes
    single, ours = WorkerProcess(photos, widths, False), WorkerProcess(photos, widths, True)
    operations = {process: process.call("operations") for process in (single, ours)}
    processes = {name: process for process, rows in operations.items() for name in rows}
    masks = [overexposure_mask(iio.imread(photo)) for photo in photos]
    megapixels = sum(mask.size for mask in masks) / 1e6
    seconds: dict[str, list[float]] = {name: [] for name in processes}
    plain = [name for name in (PLAIN, PLAIN_TF32) if name in processes]
    files: dict[str, list[float]] = {name: [] for name in (*plain, *map(OURS.get, precisions(device)))}
    dtypes = single.call("dtypes") | ours.call("dtypes")
    notes = single.call("notes") + ours.call("notes")
    products: dict[torch.dtype, list[float]] = {dtype: [] for dtype in dict.fromkeys(dtypes.values())}
    for _ in tqdm(range(rounds), unit="round", disable=None):
        for dtype, rates in products.items():
            rates.append(ours.call("product_rate", dtype, side))
        for name, times in seconds.items():
            times.append(processes[name].call("networks", name))
        for name, times in files.items():
            times.append(processes[name].call("files", name))
    for process in (single, ours):
        process.pool.shutdown()
    overexposed = float(np.mean([mask.any() for mask in masks]))
    lines = [
        f"{device_label(device)}; {len(photos)} photos ({megapixels:.2f} megapixels;"
        f" {overexposed:.0%} contain overexposed pixels), widths {'-'.join(map(str, widths))};"
        f" median (min to max) of {rounds} rounds with interleaved rows;"
        f" {side} x {side} matrix product"
        + ", ".join(
            f" in {str(dtype).removeprefix('torch.')}: {median_and_range(np.divide(rates, 1e9), 0)} GFLOP/s"
            for dtype, rates in products.items()
        ),
        *(f"\nLeft out: {note}" for note in notes),
        "",
        *head(
            *("networks, image to packed Bayer", "s/image", "speed-up", "megapixels/s", "TFLOP", "GFLOP/s"),
            "relative to matrix product",
        ),
    ]
    base = np.median(seconds[PLAIN])
    for name, times in seconds.items():
        median = np.median(times)
        per_image = median_and_range([value / len(photos) for value in times], 3)
        count = operations[processes[name]][name]
        product = float(np.median(products[dtypes[name]]))
        lines.append(
            f"| {name} | {per_image} | {base / median:.2f} | {megapixels / median:.3f} | {count / 1e12:.2f}"
            f" | {count / median / 1e9:.0f} | {count / median / product:.0%} |"
        )
    lines += [
        "",
        *head("file to file", "s/image", "speed-up", "images/s", "megapixels/s", "peak memory, GiB"),
    ]
    base = np.median(files[PLAIN])
    for name, times in files.items():
        median = np.median(times)
        per_image = median_and_range([value / len(photos) for value in times], 3)
        peak = child_peak(photos, widths, name)
        lines.append(
            f"| {name} | {per_image} | {base / median:.2f} | {len(photos) / median:.2f}"
            f" | {megapixels / median:.3f} | {peak:.2f} |"
        )
    results = {
        "device": device_label(device),
        "photos": len(photos),
        "megapixels": megapixels,
        "widths": widths,
        "products": {str(dtype): rates for dtype, rates in products.items()},
    }
    save_json(
        out.with_suffix(".json"),
        results | {"seconds": seconds, "operations": operations[single] | operations[ours], "files": files},
    )
    publish(lines, out.with_suffix(".md"))


def child_peak(photos: list[Path], widths: list[int], name: str) -> float:
    """Return the peak memory (GiB) of a process that runs only this row."""
    command = [sys.executable, __file__, *map(str, photos), "--widths", *map(str, widths), "--peak", name]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def measure_peak(photos: list[Path], widths: list[int], name: str) -> None:
    """Process files to files; print the seconds and the peak memory of this process."""
    device = plain_device()
    with tempfile.TemporaryDirectory() as folder:
        if name in (PLAIN, PLAIN_TF32):
            plain = Plain(*networks(widths), device)
            with nullcontext() if name == PLAIN_TF32 else on_device(device):
                seconds = clock(lambda: predict_plainly(photos, Path(folder), plain), device)
        else:
            precision = next(
                (precision for precision, row in OURS.items() if name in (precision, row)), "float32"
            )
            fusion = Fusion(*networks(widths), pick_device("auto", own_process=True), precision)
            seconds = clock(lambda: predict_all(photos, Path(folder), fusion), device)
    # VmHWM, since ru_maxrss includes the peak of the parent process
    resident = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 2**10
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else resident
    print(f"{seconds:.2f} s, peak GiB: {peak / 2**30:.2f}")


def compare_workflow(photos: list[Path], rounds: int, out: Path) -> None:
    """Compare Snakemake with `omf predict`, with the default model and including start-up."""
    predicted, evaluated = "`omf predict`", "`omf predict`, then `omf evaluate`, as in the workflow"
    seconds: dict[str, list[float]] = {predicted: [], evaluated: [], "workflow": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        for photo in photos:
            shutil.copy(photo, folder / "photos")
        for turn in tqdm(range(rounds), unit="round", disable=None):
            given, out, omf = folder / "photos", folder / f"direct{turn}", (sys.executable, "-m", "omf")
            seconds[predicted].append(seconds_of(*omf, "predict", given, "-o", out))
            seconds[evaluated].append(
                seconds[predicted][-1] + seconds_of(*omf, "evaluate", out, "--photos", given)
            )
            work = ("--directory", folder / f"work{turn}", "--cores", "all")
            settings = ("--config", f"images={given}", "ground_truth=")
            snakefile = ("--snakefile", ROOT / "Snakefile")
            seconds["workflow"].append(seconds_of("snakemake", *snakefile, *work, *settings))
    base = np.median(seconds[predicted])
    lines = [
        f"{len(photos)} photos, default model; median (min to max) of {rounds} interleaved rounds,"
        " including the start of Python",
        "",
    ]
    lines += head("", "s", "relative to `omf predict`")
    lines += [
        f"| {name} | {median_and_range(values, 1)} | {np.median(values) / base:.2f} |"
        for name, values in seconds.items()
    ]
    publish(lines, out.with_name(out.stem + "_workflow.md"))


def seconds_of(*command: object) -> float:
    """Run a command and return the seconds that it took."""
    began = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return time.perf_counter() - began


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+", type=Path, help="photos or folders of photos")
    parser.add_argument(
        "--count",
        type=int,
        help="number of photos, evenly spaced by their fraction of overexposed pixels; by default 10 on a"
        " CPU, and 100 on a GPU, where photos overlap",
    )
    parser.add_argument("--widths", type=int, nargs="+", default=list(PUBLISHED_WIDTHS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--matrix",
        type=int,
        default=4096,
        help="side of the square matrices whose product gives the attainable rate of the machine",
    )
    parser.add_argument(
        "--workflow", action="store_true", help="compare the workflow with omf predict instead"
    )
    parser.add_argument(
        "--peak", metavar="ROW", help="measure only this row, files to files: seconds and peak memory"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).with_suffix(""),
        help="prefix of the results: OUT.md, OUT.json",
    )
    arguments = parser.parse_args()
    photos = find_photos(arguments.photos)
    if arguments.peak:
        measure_peak(photos, arguments.widths, arguments.peak)
    elif arguments.workflow:
        compare_workflow(photos, arguments.rounds, arguments.out)
    else:
        count = arguments.count or (10 if plain_device().type == "cpu" else 100)
        photos = select_evenly(photos, count)
        compare(photos, arguments.widths, arguments.rounds, arguments.matrix, arguments.out)


def select_evenly(photos: list[Path], count: int) -> list[Path]:
    """Select photos evenly spaced by their fraction of overexposed pixels, to represent the entire folder."""
    ordered = sorted(
        photos, key=lambda photo: (float(overexposure_mask(iio.imread(photo)).mean()), photo.name)
    )
    count = min(count, len(ordered))
    return [ordered[(2 * i + 1) * len(ordered) // (2 * count)] for i in range(count)]


if __name__ == "__main__":
    main()
