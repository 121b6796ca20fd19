"""Overexposure mask fusion: run both networks on photos of any size, each only where the mask requires it."""

import math
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from omf.inference.base import Expected, Pending, Picture, refuse_known_values
from omf.inference.carrier import carrier_of
from omf.inference.gpu import gpu_errors, is_out_of_memory, lacks_engine, on_device
from omf.inference.tiling import Box, cover_with_boxes, needed_cells
from omf.networks.base import BORDER, PAD_VALUE, PaddedNetwork
from omf.networks.fused_unet import FusedUNet
from omf.networks.global_net import (
    BASE_CHANNELS,
    GlobalNet,
    GlobalTransform,
    IntegerTransform,
    refine,
    summarise_photo,
)
from omf.networks.onednn import can_use_onednn
from omf.networks.packed_unet import PackedUNet
from omf.networks.spread_net import Spread, SpreadNet, sample_factors
from omf.networks.unet import UNet
from omf.raw.bayer import WHITE_LEVEL, crop_to_cells, pack
from omf.raw.camera import name_seed
from omf.raw.white_balance import estimate_neutral
from omf.utils.errors import InputError
from omf.utils.machine import free_memory

# Bytes for the activations of a network: half of the free memory, and at most this.
MAX_MEMORY = {"cpu": 7 * 2**28, "cuda": 2**32}
ENOUGH_MEMORY = {"cpu": 2**28, "cuda": 2**32}  # for those of a tile
CENTRAL_90 = 1.645  # deviations on each side of the mean that hold 90 % of normally distributed values
BAND_ROWS = 128  # of a photo, that the base's transform is applied to at once; even


@dataclass(frozen=True)
class Tile:
    """A rectangle that a network must predict."""

    picture: int  # index of the photo
    inner: Box  # cells to predict
    outer: Box  # cells to read: `inner` and its halo


class Uploaded(NamedTuple):
    """A photo on its device."""

    rgb: Tensor  # sRGB (H, W, 3), uint8 or uint16
    mask: Tensor  # overexposure mask (H, W), bool


class Judgement(NamedTuple):
    """The base network's answer to a photo."""

    transform: GlobalTransform
    spread: Spread | None  # None: the model has no spread network


Fused = tuple[list[Tensor], Tensor]  # (H, W, ...) of each photo; and a bool tensor (), True if all are finite


class Branch:
    """A network on its device, which predicts the overexposed pixels, or all others; see `Fusion`."""

    def __init__(self, network: PaddedNetwork, overexposed: bool, device: torch.device, precision: str):
        network.eval().to(device)
        self.body, bytes_per_pixel = network.body, network.bytes_per_pixel
        if precision != "published" and isinstance(network, UNet | PackedUNet):
            dtype = getattr(torch, precision)
            onednn = device.type == "cpu" and can_use_onednn(dtype)
            self.body = FusedUNet(network, dtype, onednn).to(device)
            bytes_per_pixel = self.body.bytes_per_pixel
        self.run = partial(refine, self.body)
        self.overexposed, self.grid = overexposed, network.grid
        self.halo = -(-network.receptive_radius // network.grid)  # cells
        self.min_cells = (3 * self.halo) ** 2  # of a tile; a smaller one would be mostly halo
        self.bytes_per_cell = bytes_per_pixel * network.grid**2
        # a larger tile saves little halo, and on a CPU its activations are in new pages at each layer
        self.enough_memory = max(ENOUGH_MEMORY[device.type], self.bytes_per_cell * (12 * self.halo) ** 2)

    def max_cells(self, memory: int) -> int:
        """Return the size of the largest tile, in cells with halo, whose activations take `memory` bytes."""
        return max(min(memory, self.enough_memory) // self.bytes_per_cell, self.min_cells)

    def tiles(self, masks: Sequence[np.ndarray], max_cells: int) -> list[Tile]:
        """Return the tiles to run for photos with these masks, of at most `max_cells` cells with halo."""
        tiles = []
        for picture, mask in enumerate(masks):
            cells = needed_cells(mask == self.overexposed, self.grid, BORDER)
            for inner in cover_with_boxes(cells, self.halo, max_cells):
                tiles.append(Tile(picture, inner, inner.dilated(self.halo, *cells.shape)))
        return tiles


class Fusion:
    """The networks of a model on one device: a method that reconstructs RAW.

    The base network, if there is one, sees the whole photo once, as a thumbnail, and predicts a transform of
    its pixels; OE and NOE refine the RAW that results. OE and NOE run only on boxes around their own pixels,
    dilated by their receptive fields, so that the result equals that of running both on every pixel.

    Args:
        oe: network that predicts overexposed pixels, from `omf.networks.build`.
        noe: network that predicts all other pixels; None: the base network does.
        device: device that runs all.
        precision: precision of U-Nets; other networks run unchanged. `float32` computes the same function in
            the order that is fastest on the device, `published` performs the operations of the published
            code, and `bfloat16`, and `float16` for a GPU, are `float32` in half precision, which costs one
            count or more.
        base: base network, whose RAW `oe` and `noe` refine; None: the published method.
        spread: spread network of the base network; None: there are no samples.
    """

    def __init__(
        self,
        oe: PaddedNetwork,
        noe: PaddedNetwork | None,
        device: torch.device,
        precision: str = "float32",
        base: GlobalNet | None = None,
        spread: SpreadNet | None = None,
    ):
        self.device, self.precision = device, precision
        self.judgements: dict[int, Judgement] = {}  # of photos in use, by `id`
        on_gpu = device.type == "cuda"
        self.pixels_per_batch = 2**21 if on_gpu else 1  # only several small photos occupy a GPU
        try:
            with on_device(device):
                self.branches = [
                    Branch(network, overexposed, device, precision)
                    for network, overexposed in ((noe, False), (oe, True))
                    if network
                ]
                # double, so that the transform of a photo does not depend on the number of threads
                self.base, self.spread = (
                    network.eval().to(device, torch.float64) if network else None
                    for network in (base, spread)
                )
                if on_gpu:  # copies in both directions overlap with the networks
                    self.uploads, self.downloads = torch.cuda.Stream(device), torch.cuda.Stream(device)
                free = torch.cuda.mem_get_info(device)[0] if on_gpu else free_memory()
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"{device}: too little free memory for the networks; other programs take it, see nvidia-smi"
            ) from error
        self.memory = min(free // 2, MAX_MEMORY[device.type])

    def __call__(self, rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Reconstruct demosaiced RAW.

        Args:
            rgb: (H, W, 3) sRGB, uint8 or uint16.
            mask: (H, W) bool, True where OE predicts.

        Returns:
            float32 (H, W, 3) in [0, 1], camera RGB, linear.
        """
        return self.demosaiced([Picture(rgb.view(), mask)])()[0]  # a view, see `judge`

    def demosaiced(self, pictures: Sequence[Picture]) -> Pending:
        """Implement `Method`."""
        return self.submit(pictures, channels_last)

    def packed(self, pictures: Sequence[Picture]) -> Pending:
        """Implement `Method`."""
        pending = self.submit(pictures, to_bayer_counts)
        return lambda: [pack(crop_to_cells(bayer).view(np.uint16)) for bayer in pending()]

    def submit(self, pictures: Sequence[Picture], postprocess: Callable[[Tensor], Tensor]) -> Pending:
        """Launch the networks; on a GPU they are still running when this returns.

        Args:
            pictures: photos of any sizes.
            postprocess: converts demosaiced RAW, (3, h, w) in [0, 1], to the (h, w, ...) of the results.

        Raises:
            InputError: out of memory, a neutral or an exposure without a base network, or, when the results
                are requested, values beyond the range of float16.
            DeviceError: the GPU failed.
        """
        if not self.base:
            refuse_known_values(pictures)
        with on_device(self.device):
            (results, finite), downloaded = self.fuse(pictures, postprocess)

        def pending() -> list[np.ndarray]:
            if downloaded:
                with gpu_errors():
                    downloaded.synchronize()
            if not finite:
                raise InputError(
                    "the networks' values exceed the range of float16; set precision to float32"
                    if self.precision == "float16"
                    else "the networks' values are not finite; their weights do not fit this photo"
                )
            return [result.numpy() for result in results]

        return pending

    @torch.inference_mode()
    def fuse(
        self, pictures: Sequence[Picture], postprocess: Callable[[Tensor], Tensor]
    ) -> tuple[Fused, torch.cuda.Event | None]:
        """Run both networks, in smaller tiles and batches if memory runs out; see `download`."""
        budget = self.memory
        while True:
            try:
                return self.download(*self.fuse_at_once(pictures, postprocess))
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                failure = error.with_traceback(None)  # whose frames hold the tensors of the failed try
            self.memory //= 2
            if all(self.memory < branch.bytes_per_cell * branch.min_cells for branch in self.branches):
                self.memory = budget
                if lacks_engine(failure):
                    raise failure
                height, width = max((picture.mask.shape for picture in pictures), key=np.prod)
                raise InputError(
                    f"not enough memory for a photo of {width} x {height} pixels, even in small tiles"
                ) from failure
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def download(self, results: list[Tensor], finite: Tensor) -> tuple[Fused, torch.cuda.Event | None]:
        """Copy the tensors of `fuse_at_once` to the CPU, where they are valid after the returned event."""
        if self.device.type != "cuda":
            return (results, finite), None
        self.downloads.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.downloads):
            on_device = [*results, finite]
            *results, finite = [tensor.to("cpu", non_blocking=True) for tensor in on_device]
            for tensor in on_device:
                tensor.record_stream(self.downloads)
            return (results, finite), self.downloads.record_event()

    def fuse_at_once(self, pictures: Sequence[Picture], postprocess: Callable[[Tensor], Tensor]) -> Fused:
        """Run both networks within the current memory budget."""
        if not self.base and any(picture.carriage for picture in pictures):
            return self.fuse_and_carry(pictures, postprocess)
        sources = [self.upload(picture.rgb, picture.mask) for picture in pictures]
        transforms = [
            self.predict_transform(source.rgb, picture) if self.base else None
            for source, picture in zip(sources, pictures)
        ]
        carriers = [
            carrier_of(picture.carriage, transform.white()[0]) if picture.carriage else None
            for picture, transform in zip(pictures, transforms)
        ]
        finite = torch.ones((), dtype=torch.bool, device=self.device)
        results: list[Tensor | None] = [None] * len(pictures)
        if len(self.branches) == 1:  # without NOE
            carried = [
                carrier.transform(transform) if carrier else transform
                for carrier, transform in zip(carriers, transforms)
            ]
            results = [apply_to_photo(*pair, postprocess) for pair in zip(carried, sources)]
        bases = [
            transform.of_integers(source.rgb.dtype) if transform else None
            for transform, source in zip(transforms, sources)
        ]
        for branch in self.branches:
            max_cells = branch.max_cells(self.memory)
            all_tiles = branch.tiles([picture.mask for picture in pictures], max_cells)
            for tiles in batch_tiles(all_tiles, max_cells):
                channels = BASE_CHANNELS if self.base else 4
                sides = (side * branch.grid for side in tiles[0].outer.shape)
                shape = (len(tiles), channels, *sides)
                x = torch.full(shape, PAD_VALUE, dtype=torch.float32, device=self.device)
                for tile, tile_input in zip(tiles, x):
                    fill(tile_input, sources[tile.picture], tile.outer, branch.grid, bases[tile.picture])
                y = branch.run(x)
                finite &= torch.stack(y.aminmax()).isfinite().all()
                for tile, tile_input, tile_output in zip(tiles, x, y):
                    height, width = pictures[tile.picture].mask.shape
                    rows, columns = pixel_slices(tile.inner, branch.grid, height, width)
                    top, left = tile.outer.top * branch.grid - BORDER, tile.outer.left * branch.grid - BORDER
                    inner = (
                        ...,
                        slice(rows.start - top, rows.stop - top),
                        slice(columns.start - left, columns.stop - left),
                    )
                    values = tile_output[inner].clamp(0, 1)
                    if carrier := carriers[tile.picture]:
                        values = carrier(values, branch.overexposed)
                    values = postprocess(values)
                    selected = tile_input[inner][3] == branch.overexposed
                    if results[tile.picture] is None:
                        results[tile.picture] = values.new_empty((height, width, *values.shape[2:]))
                    region = results[tile.picture][rows, columns]
                    selected = selected.view(*selected.shape, *[1] * (values.ndim - 2))
                    region.copy_(torch.where(selected, values, region))
        return results, finite

    def fuse_and_carry(self, pictures: Sequence[Picture], postprocess: Callable[[Tensor], Tensor]) -> Fused:
        """Carry the fused RAW of a model without base network, whose neutral is estimated from the photo."""
        fused, finite = self.fuse_at_once(
            [picture._replace(carriage=None) for picture in pictures], channels_last
        )
        results = []
        for picture, raw in zip(pictures, fused):
            values = raw.permute(2, 0, 1)
            if picture.carriage:
                neutral = estimate_neutral(raw.cpu().numpy(), picture.rgb, picture.carriage.source)
                carrier = carrier_of(picture.carriage, torch.from_numpy(neutral).to(raw))
                mask = torch.from_numpy(picture.mask).to(raw.device)
                values = torch.where(mask, *(carrier(values, overexposed) for overexposed in (True, False)))
            results.append(postprocess(values))
        return results, finite

    def predict_transform(self, rgb: Tensor, picture: Picture) -> GlobalTransform:
        """Return the transform of an uploaded photo (H, W, 3), float32, for a batch of one.

        The base network judges the whole photo, if `picture` is a part of one. The transform is a plausible
        one for a sample, and gives the RAW the neutral and the exposure of `picture`, if they are known.
        """
        transform, spread = self.judge(picture, rgb)
        factors = torch.full((1, 3), picture.exposure, dtype=torch.float32, device=rgb.device)
        if picture.is_sample:
            normal = np.random.default_rng(name_seed(picture.name)).standard_normal((1, 3))
            factors *= sample_factors(spread, torch.from_numpy(normal).to(rgb.device)).float()
        if picture.neutral:
            known = np.array([picture.neutral[0], 1, picture.neutral[1]])
            if picture.carriage:
                known = picture.carriage.neutral_of_source(known)
            red, green, blue = transform.white()[0]
            factors[0, 0] = factors[0, 1] * known[0] * green / red
            factors[0, 2] = factors[0, 1] * known[2] * green / blue
        return transform.scaled(factors)

    def judge(self, picture: Picture, rgb: Tensor) -> Judgement:
        """Run the base network once on the whole photo, for as long as its array exists.

        Args:
            picture: photo, or part of one, whose array does not change while it exists. An array of the
                caller's may: give a view of it, which ends with the call.
            rgb: the same on the device, (H, W, 3).
        """
        photo = picture.rgb if picture.whole is None else picture.whole
        key = id(photo)
        if key not in self.judgements:
            whole = rgb if picture.whole is None else torch.from_numpy(photo).to(self.device)
            thumbnail, quantiles = (part[None].double() for part in summarise_photo(whole))
            features = self.base.features_of(thumbnail, quantiles)
            transform = self.base.transform_of(features, thumbnail)
            transform = GlobalTransform(*(part.float() for part in transform))
            self.judgements[key] = Judgement(transform, self.spread(features) if self.spread else None)
            weakref.finalize(photo, self.judgements.pop, key).atexit = False
        return self.judgements[key]

    def expected(self, picture: Picture) -> Expected | None:
        """Implement `Method`; the picture must exist since it was submitted."""
        if self.spread is None:
            return None
        _, spread = self.judgements[id(picture.rgb if picture.whole is None else picture.whole)]
        psnr = -20 / math.log(10) * float(spread.log_error)
        limits = [math.exp(CENTRAL_90 * float(row.norm())) for row in spread.factor[0]]
        return Expected(psnr, *((1 / limit, limit) for limit in limits))

    def upload(self, rgb: np.ndarray, mask: np.ndarray) -> Uploaded:
        """Copy a photo and its mask to the device."""
        arrays = (np.require(array, requirements=["C", "W"]) for array in (rgb, mask))
        source = Uploaded(*map(torch.from_numpy, arrays))
        if self.device.type != "cuda":
            return source
        with torch.cuda.stream(self.uploads):
            uploaded = Uploaded(*(part.pin_memory().to(self.device, non_blocking=True) for part in source))
        compute = torch.cuda.current_stream(self.device)
        compute.wait_stream(self.uploads)
        for part in uploaded:
            part.record_stream(compute)
        return uploaded


def batch_tiles(tiles: Sequence[Tile], max_cells: int) -> Iterator[list[Tile]]:
    """Yield batches of tiles of equal shape, each of at most `max_cells` cells or a single tile."""
    by_shape = defaultdict(list)
    for tile in tiles:
        by_shape[tile.outer.shape].append(tile)
    for (height, width), same_shape in by_shape.items():
        batch_size = max(max_cells // (height * width), 1)
        for first in range(0, len(same_shape), batch_size):
            yield same_shape[first : first + batch_size]


def apply_to_photo(
    transform: GlobalTransform, source: Uploaded, postprocess: Callable[[Tensor], Tensor]
) -> Tensor:
    """Apply a transform, of a batch of one, to an uploaded photo, and postprocess the result."""
    base = transform.of_integers(source.rgb.dtype)
    bands = source.rgb.split(BAND_ROWS)
    return torch.cat([postprocess(base.apply(band).clamp_(0, 1)) for band in bands])


def fill(x: Tensor, source: Uploaded, box: Box, grid: int, base: IntegerTransform | None) -> None:
    """Fill a network's input, which holds the padding, with a box of cells of the padded photo.

    Args:
        x: float32 (4, h, w); with base RAW (BASE_CHANNELS, h, w).
        source: photo.
        box: cells to read, of `grid` x `grid` pixels.
        base: transform that gives the base RAW; None: there is none.
    """
    rows, columns = pixel_slices(box, grid, *source.mask.shape)
    rgb, mask = source.rgb[rows, columns], source.mask[rows, columns]
    top, left = rows.start - (box.top * grid - BORDER), columns.start - (box.left * grid - BORDER)
    inside = x[:, top : top + len(rgb), left : left + rgb.shape[1]]
    inside[:3], inside[3] = rgb.permute(2, 0, 1).float() / torch.iinfo(rgb.dtype).max, mask
    if base:
        inside[4:] = base.apply(rgb)


def pixel_slices(box: Box, grid: int, height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns of a photo of height x width pixels that a box of padded cells contains."""
    rows, columns = (
        slice(max(first * grid - BORDER, 0), min(last * grid - BORDER, size))
        for first, last, size in ((box.top, box.bottom, height), (box.left, box.right, width))
    )
    return rows, columns


def channels_last(rgb: Tensor) -> Tensor:
    """Move the channels to the end: (3, H, W) -> (H, W, 3)."""
    return rgb.permute(1, 2, 0)


def to_bayer_counts(rgb: Tensor) -> Tensor:
    """Mosaic and truncate to the challenge's counts: (3, H, W) in [0, 1] -> RGGB, int16 (H, W), 0 to 1024.

    The first row and column are even ones of the photo.
    """
    bayer = rgb[1].clone()
    bayer[0::2, 0::2], bayer[1::2, 1::2] = rgb[0, 0::2, 0::2], rgb[2, 1::2, 1::2]
    return (bayer * WHITE_LEVEL).to(torch.int16)
