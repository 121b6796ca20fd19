"""Fusion: both networks over pictures of any size, each where the overexposure mask asks for it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omf.inference.base import Pending, Picture
from omf.inference.memory import free_memory
from omf.inference.tiling import Box, cover, needed_cells
from omf.networks.base import BORDER, PAD_VALUE, PaddedNetwork
from omf.networks.fused_unet import FusedUNet
from omf.networks.unet import UNet
from omf.raw.bayer import WHITE_LEVEL, pack, whole_cells
from omf.utils.errors import DeviceError, InputError, first_line

# Memory for what a network holds while it runs: half of what is free, and no more than this many bytes.
MAX_MEMORY = {"cpu": 7 * 2**28, "cuda": 2**32}


@dataclass(frozen=True)
class Tile:
    """One rectangle that a network has to answer for."""

    picture: int
    inner: Box  # the cells to answer for
    outer: Box  # the cells to look at


class Branch:
    """A network where it runs, and which pixels it answers for.

    Args:
        network: trained.
        overexposed: whether the overexposed pixels are its own, or all others.
        device: where it runs.
        precision: see `Fusion`.
    """

    def __init__(self, network: PaddedNetwork, overexposed: bool, device: torch.device, precision: str):
        network.eval().to(device)
        self.run, bytes_per_pixel = network.body, network.bytes_per_pixel
        if precision != "published" and isinstance(network, UNet):
            winograd = device.type == "cpu" and torch.backends.mkldnn.is_available()
            self.run = FusedUNet(network, getattr(torch, precision), winograd).to(device)
            bytes_per_pixel = self.run.bytes_per_pixel
        self.overexposed, self.grid = overexposed, network.grid
        self.halo = -(-network.receptive_radius // network.grid)  # cells
        self.smallest = (3 * self.halo) ** 2  # cells; less would be nearly all halo
        self.bytes_per_cell = bytes_per_pixel * network.grid**2

    def parts(self, masks: Sequence[np.ndarray], largest: int) -> list[Tile]:
        """What there is to run for pictures with these masks, in boxes of at most `largest` cells."""
        found = []
        for picture, mask in enumerate(masks):
            cells = needed_cells(mask == self.overexposed, self.grid, BORDER)
            for inner in cover(cells, self.halo, largest):
                found.append(Tile(picture, inner, inner.dilated(self.halo, *cells.shape)))
        return found


class Fusion:
    """The OE and the NOE network, ready to reconstruct RAW on one device.

    Each network runs only on boxes around its own pixels, grown by what its outputs depend on, so that the
    answer is that of running both everywhere.

    Args:
        oe: answers for overexposed pixels; a U-Net or another network of `omf.networks.registry`.
        noe: answers for all others.
        device: where they run.
        precision: of U-Nets; other networks run as they are. `float32` computes the same function in the order that is quickest
            on the device, `published` operation for operation as the published code does, `float16` as `float32` but in half
            precision, which loses a count or more; for a GPU.
    """

    def __init__(
        self, oe: PaddedNetwork, noe: PaddedNetwork, device: torch.device, precision: str = "float32"
    ):
        self.device = device
        self.branches = (Branch(noe, False, device, precision), Branch(oe, True, device, precision))
        # pixels worth running at once: a GPU fills up on several small pictures, a CPU on one
        self.pixels_per_batch = 2**21 if device.type == "cuda" else 1
        if device.type == "cuda":  # copies in both directions run beside the networks
            self.uploads, self.downloads = torch.cuda.Stream(), torch.cuda.Stream()
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
        self.memory = min(free // 2, MAX_MEMORY[device.type])

    def __call__(self, rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Reconstruct demosaiced RAW.

        Args:
            rgb: (H, W, 3) sRGB, uint8 or uint16.
            mask: (H, W) bool, True where OE answers.

        Returns:
            float32 (H, W, 3) in [0, 1], camera RGB, linear.
        """
        return self.demosaiced([Picture(rgb, mask)])()[0]

    def demosaiced(self, pictures: Sequence[Picture]) -> Pending:
        """Begin to reconstruct demosaiced RAW; call what comes back to wait for it: float32 (H, W, 3) of each picture."""
        return self.submit(pictures, channels_last)

    def packed(self, pictures: Sequence[Picture]) -> Pending:
        """Begin to reconstruct Bayer RAW; the answers are in the challenge's format: uint16 (H/2, W/2, 4) of each picture."""
        answers = self.submit(pictures, to_bayer_counts)
        return lambda: [pack(whole_cells(bayer).view(np.uint16)) for bayer in answers()]

    def submit(self, pictures: Sequence[Picture], finish: Callable[[Tensor], Tensor]) -> Pending:
        """Launch the work; on a GPU it is still under way when this returns."""
        with gpu_errors():
            results, finite = self.fuse(pictures, finish)
            if self.device.type == "cuda":
                self.downloads.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(self.downloads):
                    on_device = [*results, finite]
                    *results, finite = [tensor.to("cpu", non_blocking=True) for tensor in on_device]
                    for tensor in on_device:
                        tensor.record_stream(self.downloads)
                    done = self.downloads.record_event()

        def answers() -> list[np.ndarray]:
            if self.device.type == "cuda":
                with gpu_errors():
                    done.synchronize()
            if not finite:
                raise InputError("the networks' values leave the range of float16; set precision to float32")
            return [result.numpy() for result in results]

        return answers

    @torch.inference_mode()
    def fuse(
        self, pictures: Sequence[Picture], finish: Callable[[Tensor], Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """(H, W, ...) of each picture, as `finish` makes them from (3, h, w); less at a time where memory runs out.

        Also (), whether all values were finite.
        """
        while True:
            try:
                return self.fuse_at_once(pictures, finish)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self.memory //= 2
                if all(self.memory < branch.bytes_per_cell * branch.smallest for branch in self.branches):
                    height, width = max(
                        (picture.mask.shape for picture in pictures), key=lambda shape: shape[0] * shape[1]
                    )
                    raise InputError(
                        f"not enough memory for a picture of {width} x {height} pixels, in the smallest tiles too"
                    ) from error
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()

    def fuse_at_once(
        self, pictures: Sequence[Picture], finish: Callable[[Tensor], Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """`fuse`, where the memory is known to do."""
        sources = [self.upload(picture.rgb, picture.mask) for picture in pictures]
        finite = torch.ones((), dtype=torch.bool, device=self.device)
        results: list[Tensor | None] = [None] * len(pictures)
        for branch in self.branches:
            largest = max(self.memory // branch.bytes_per_cell, branch.smallest)
            for parts in batches(branch.parts([picture.mask for picture in pictures], largest), largest):
                x = torch.stack([crop(sources[part.picture], part.outer, branch.grid) for part in parts])
                y = branch.run(x)
                finite &= y.isfinite().all()
                for part, seen, answer in zip(parts, x, y):
                    height, width = pictures[part.picture].mask.shape
                    rows, columns = inside(part.inner, branch.grid, height, width)
                    top, left = part.outer.top * branch.grid - BORDER, part.outer.left * branch.grid - BORDER
                    there = (
                        ...,
                        slice(rows.start - top, rows.stop - top),
                        slice(columns.start - left, columns.stop - left),
                    )
                    piece, own = finish(answer[there].clamp(0, 1)), seen[there][3] == branch.overexposed
                    if results[part.picture] is None:
                        results[part.picture] = piece.new_empty((height, width, *piece.shape[2:]))
                    region = results[part.picture][rows, columns]
                    region.copy_(torch.where(own.view(*own.shape, *[1] * (piece.ndim - 2)), piece, region))
        return results, finite

    def upload(self, rgb: np.ndarray, mask: np.ndarray) -> Tensor:
        """A picture with its mask as a fourth channel, (H, W, 4) of the picture's type, 0 to its largest value, on the device."""
        full = np.iinfo(rgb.dtype).max
        source = torch.from_numpy(
            np.concatenate((rgb, np.where(mask, full, 0).astype(rgb.dtype)[..., None]), axis=-1)
        )
        if self.device.type != "cuda":
            return source
        with torch.cuda.stream(self.uploads):
            there = source.pin_memory().to(self.device, non_blocking=True)
        torch.cuda.current_stream().wait_stream(self.uploads)
        there.record_stream(torch.cuda.current_stream())
        return there


@contextmanager
def gpu_errors() -> Iterator[None]:
    """A GPU's failure as a DeviceError: after it, no other picture can be computed in this process."""
    try:
        yield
    except torch.AcceleratorError as error:
        raise DeviceError(f"the GPU failed ({first_line(error)})") from error


def batches(parts: Sequence[Tile], largest: int) -> Iterator[list[Tile]]:
    """Parts that are run together: of one shape, and no more than `largest` cells in all."""
    by_shape = defaultdict(list)
    for part in parts:
        by_shape[part.outer.shape].append(part)
    for (height, width), alike in by_shape.items():
        at_once = max(largest // (height * width), 1)
        for first in range(0, len(alike), at_once):
            yield alike[first : first + at_once]


def crop(source: Tensor, box: Box, grid: int) -> Tensor:
    """What the network sees of a padded picture: (H, W, 4) integers -> float32 (4, h, w) in [0, 1]."""
    rows, columns = inside(box, grid, *source.shape[:2])
    x = torch.full((4, *(side * grid for side in box.shape)), PAD_VALUE, device=source.device)
    top, left = rows.start - (box.top * grid - BORDER), columns.start - (box.left * grid - BORDER)
    seen = source[rows, columns].permute(2, 0, 1).float() / torch.iinfo(source.dtype).max
    x[:, top : top + seen.shape[1], left : left + seen.shape[2]] = seen
    return x


def inside(box: Box, grid: int, height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns of a picture of height x width pixels that lie in a box of its padded cells."""
    rows, columns = (
        slice(max(first * grid - BORDER, 0), min(last * grid - BORDER, size))
        for first, last, size in ((box.top, box.bottom, height), (box.left, box.right, width))
    )
    return rows, columns


def channels_last(rgb: Tensor) -> Tensor:
    """(3, H, W) -> (H, W, 3)."""
    return rgb.permute(1, 2, 0)


def to_bayer_counts(rgb: Tensor) -> Tensor:
    """Mosaic and to_challenge_counts: (3, H, W) from an even row and column on, in [0, 1] -> int16 counts (H, W), RGGB."""
    bayer = rgb[1].clone()
    bayer[0::2, 0::2], bayer[1::2, 1::2] = rgb[0, 0::2, 0::2], rgb[2, 1::2, 1::2]
    return (bayer * WHITE_LEVEL).to(torch.int16)


def is_out_of_memory(error: Exception) -> bool:
    """PyTorch's allocator for the CPU raises a RuntimeError like any other."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)
