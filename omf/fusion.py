"""Fusion: both networks over an image of any size, and the mask that picks one of them at each pixel."""

import numpy as np
import torch
from torch import Tensor

from omf.errors import InputError
from omf.unet import BORDER, PaddedNetwork

TILE = 1024  # pixels a side that a tile answers for; larger images are cut, which bounds the memory


def pick_device(name: str) -> torch.device:
    """`auto` (a GPU if there is one), `cpu` or `cuda`. Raises InputError for a GPU that is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda: torch sees no GPU here; check nvidia-smi, or set the device to auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # not TF32, whose 10 bits are as coarse as a count
    elif torch.get_num_threads() == 1:
        torch.set_num_threads(2)  # for one thread PyTorch takes another algorithm, and the last bits differ
    return torch.device(name)


def device_label(device: torch.device) -> str:
    """The device in words: a GPU's name, or how many threads of the CPU are used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def network_input(rgb: np.ndarray, mask: np.ndarray) -> Tensor:
    """uint8 or uint16 (H, W, 3) and bool (H, W) -> float32 (1, 4, H, W), values in [0, 1]."""
    x = torch.empty(1, 4, *mask.shape)
    x[0, :3] = torch.from_numpy(np.moveaxis(rgb.astype(np.float32), -1, 0)) / np.iinfo(rgb.dtype).max
    x[0, 3] = torch.from_numpy(mask)
    return x


class Fusion:
    """The OE and the NOE network, ready to reconstruct RAW on one device.

    Args:
        oe: answers for overexposed pixels; a U-Net or another network of `omf.networks`.
        noe: answers for all others; its grid is that of `oe`.
        device: where they run.
    """

    def __init__(self, oe: PaddedNetwork, noe: PaddedNetwork, device: torch.device):
        self.oe, self.noe = (network.eval().to(device) for network in (oe, noe))
        self.device = device

    @torch.inference_mode()
    def __call__(self, rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Reconstruct demosaiced RAW.

        Args:
            rgb: (H, W, 3) sRGB, uint8 or uint16.
            mask: (H, W) bool, True where OE answers.

        Returns:
            float32 (H, W, 3) in [0, 1], camera RGB, linear.
        """
        height, width = mask.shape
        padded = self.noe.pad(network_input(rgb, mask))
        raw = np.empty((*padded.shape[-2:], 3), np.float32)
        halo = -(-max(self.oe.reach, self.noe.reach) // self.noe.grid) * self.noe.grid
        for rows, outer_rows in tile_slices(padded.shape[-2], TILE, halo):
            for columns, outer_columns in tile_slices(padded.shape[-1], TILE, halo):
                fused = self.fuse(padded[..., outer_rows, outer_columns].to(self.device))
                top, left = rows.start - outer_rows.start, columns.start - outer_columns.start
                inner = fused[:, top : top + rows.stop - rows.start, left : left + columns.stop - columns.start]
                raw[rows, columns] = inner.permute(1, 2, 0).cpu().numpy()
        return raw[BORDER : BORDER + height, BORDER : BORDER + width]

    def fuse(self, x: Tensor) -> Tensor:
        """(1, 4, H, W), H and W on the network's grid -> (3, H, W) in [0, 1]."""
        overexposed = x[0, 3] == 1
        return torch.where(overexposed, self.oe.body(x)[0], self.noe.body(x)[0]).clamp_(0, 1)


def tile_slices(size: int, tile: int, halo: int) -> list[tuple[slice, slice]]:
    """Cut an axis into tiles: (the pixels that a tile answers for, the pixels that it looks at)."""
    return [
        (slice(start, min(start + tile, size)), slice(max(start - halo, 0), min(start + tile + halo, size)))
        for start in range(0, size, tile)
    ]
