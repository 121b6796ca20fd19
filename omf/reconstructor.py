"""Python API: reconstruct RAW from arrays and tensors."""

from __future__ import annotations

import math
import sys
import zlib
from typing import TYPE_CHECKING

import numpy as np

from omf.inference.base import Method, Picture
from omf.inference.load import load_method
from omf.inference.precision import current_precision
from omf.models.registry import check_files, find_model, with_camera
from omf.raw.bayer import mosaic, pack
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


class Reconstructor:
    """Convert sRGB photos to the RAW that a sensor would have measured.

    Each process loads the weights at its first photo. Pickling, as for the workers of a DataLoader, copies
    only the settings.

    Args:
        model: name of a listed model, or a folder that contains the weights of a model.
        device: auto (a GPU if available), cpu or cuda. CUDA can't be used after a fork: in the workers of a
            DataLoader use cpu, or start them by spawn.
        precision: float32; published, with the operations of the published code; or float16, on a GPU.
        camera: camera of the RAW for unprocess and inverse: name of a profile in cameras/, or a YAML file;
            empty: the model's own.

    Raises:
        InputError: the model does not exist, one of its files is missing, wrong or damaged, or `camera` is
            given for networks.
    """

    def __init__(
        self,
        model: str = "samsung_s7",
        device: str = "auto",
        precision: str = "float32",
        camera: str = "",
    ):
        self.model, self.camera, self.device = model, camera, device
        self.precision = current_precision(precision)
        check_files(with_camera(find_model(model), camera))
        self._method: Method | None = None

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_method": None}

    @property
    def method(self) -> Method:
        """The reconstruction method, loaded on first access."""
        if self._method is None:
            model = with_camera(find_model(self.model), self.camera)
            self._method, _, _ = load_method(model, self.device, self.precision)
        return self._method

    def predict(
        self, rgb: np.ndarray | Tensor, neutral: tuple[float, float] | None = None, exposure: float = 1.0
    ) -> np.ndarray | Tensor:
        """Reconstruct packed RGGB RAW: linear, white at 1, not quantised.

        Args:
            rgb: sRGB. NumPy: (H, W, 3), uint8 or uint16. PyTorch: (3, H, W) or (N, 3, H, W), uint8, or float
                in [0, 1] (values outside are clipped). H and W are 2 or more; a trailing odd row or column is
                cropped.
            neutral: R/G and B/G of a neutral grey in the RAW, if they are known.
            exposure: factor on the RAW that the model would predict.

        Returns:
            NumPy: float32 (H/2, W/2, 4), planes R, Gr, Gb, B. PyTorch: float32 (4, H/2, W/2) or
            (N, 4, H/2, W/2), on the device of `rgb`.

        Raises:
            InputError: `rgb` has another shape or type, or contains values that are not finite; `neutral` or
                `exposure` are not positive, or given to a model that has no use for them.
        """
        return self._each(rgb, lambda raw: pack(mosaic(raw)), neutral, exposure)

    def demosaiced(
        self, rgb: np.ndarray | Tensor, neutral: tuple[float, float] | None = None, exposure: float = 1.0
    ) -> np.ndarray | Tensor:
        """Reconstruct RAW before the mosaic: camera RGB, linear, white at 1.

        Args:
            rgb: as for `predict`.
            neutral: as for `predict`.
            exposure: as for `predict`.

        Returns:
            NumPy: float32 (H, W, 3). PyTorch: float32 (3, H, W) or (N, 3, H, W), on the device of `rgb`.

        Raises:
            InputError: as for `predict`.
        """
        return self._each(rgb, lambda raw: raw, neutral, exposure)

    def _each(self, rgb, postprocess, neutral, exposure):
        """Postprocess the demosaiced RAW of each photo; return the type and layout of `rgb`."""
        if not all(0 < value < math.inf for value in (exposure, *(neutral or ()))):
            raise InputError(f"neutral {neutral}, exposure {exposure}; give values above 0")
        if isinstance(rgb, np.ndarray):
            return postprocess(self._demosaiced(rgb, neutral, exposure))
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(rgb, torch.Tensor):
            raise InputError(f"a photo is a {type(rgb).__name__}; give a NumPy array or a PyTorch tensor")
        if rgb.ndim == 4:
            return torch.stack([self._each(photo, postprocess, neutral, exposure) for photo in rgb])
        if rgb.ndim != 3 or rgb.shape[0] != 3:
            raise InputError(f"a tensor of {tuple(rgb.shape)}; give (3, H, W) or (N, 3, H, W)")
        if rgb.is_floating_point():
            if not torch.isfinite(rgb).all():
                raise InputError("a tensor that contains NaN or infinite values; give values in [0, 1]")
            array = (rgb.detach().clamp(0, 1).double() * 65535).round().cpu().numpy().astype(np.uint16)
        else:
            array = rgb.cpu().numpy()
        raw = postprocess(self._demosaiced(np.moveaxis(array, 0, -1), neutral, exposure))
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(raw, -1, 0))).to(rgb.device)

    def _demosaiced(
        self, rgb: np.ndarray, neutral: tuple[float, float] | None, exposure: float
    ) -> np.ndarray:
        """Reconstruct demosaiced RAW: uint8 or uint16 (H, W, 3) -> float32 (H, W, 3)."""
        if (
            rgb.ndim != 3
            or rgb.shape[2] != 3
            or min(rgb.shape[:2]) < 2
            or rgb.dtype not in (np.uint8, np.uint16)
        ):
            raise InputError(
                f"a photo of {rgb.shape}, {rgb.dtype}; give uint8 or uint16 (H, W, 3), H and W 2 or more"
            )
        picture = Picture(rgb, overexposure_mask(rgb), checksum(rgb), neutral, exposure)
        return self.method.demosaiced([picture])()[0]


def checksum(rgb: np.ndarray) -> str:
    """Return the CRC-32 of an array in hexadecimal, which replaces the name of a photo without a file."""
    return f"{zlib.crc32(np.ascontiguousarray(rgb)):08x}"
