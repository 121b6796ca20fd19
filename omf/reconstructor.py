"""Python API: reconstruct RAW from arrays and tensors."""

from __future__ import annotations

import math
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omf.inference.arguments import check_device, known_values
from omf.inference.base import Method, Picture
from omf.inference.forks import run_after_fork
from omf.inference.load import load_method
from omf.io.cameras import carriage_to, check_camera, find_camera
from omf.models.registry import check_draws_samples, check_files, find_model
from omf.pipeline.samples import name_samples
from omf.raw.bayer import mosaic, pack
from omf.raw.camera import check_bayer
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import InputError
from omf.utils.sections import AUTO

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike
    from torch import Tensor

MAX_OVERSHOOT = 0.25  # by which floats may lie outside of [0, 1]: about the overshoot of bicubic resampling


class Reconstructor:
    """Convert sRGB photos to the RAW that a sensor would have measured.

    Each process loads the weights at its first photo. Pickling, as for the workers of a DataLoader, copies
    only the settings.

    Args:
        model: name of a listed model, or a folder that contains the weights of a model.
        device: auto (a GPU if available), cpu, cuda (a GPU that no other process of this program has) or
            cuda:N, or a torch.device. CUDA can't be used after a fork: in the workers of a DataLoader use
            cpu, or start them by spawn.
        precision: float32; published, with the operations of the published code; bfloat16; or float16, on a
            GPU.
        camera: camera of the RAW: name of a profile in cameras/, a YAML file, a RAW file of the camera, or a
            name that LibRaw knows, such as NIKON D750; empty: the model's own.

    Raises:
        InputError: the model, the device or the camera does not exist, or one of the model's files is
            missing, wrong or damaged.
    """

    def __init__(
        self,
        model: str | Path = "samsung_s7",
        device: str | torch.device = "auto",
        precision: str = "float32",
        camera: str = "",
    ):
        self.model, self.camera, self.device = str(model), camera, check_device(device)
        self.precision = precision
        model = find_model(self.model)
        check_files(model)
        if camera == AUTO:
            raise InputError("camera auto: an array tells no camera; give its name")
        check_camera(camera, model.camera)
        self._carriage = carriage_to(find_camera(model.camera), "" if camera == model.camera else camera)
        self._method: Method | None = None

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_method": None}

    @property
    def method(self) -> Method:
        """The reconstruction method, loaded on first access."""
        if self._method is None:
            self._method, _, _ = load_method(find_model(self.model), self.device, self.precision)
        return self._method

    def predict(
        self,
        rgb: np.ndarray | Tensor,
        neutral: ArrayLike | Tensor | None = None,
        exposure: ArrayLike | Tensor = 1.0,
        samples: int = 0,
    ) -> np.ndarray | Tensor:
        """Reconstruct packed RGGB RAW: linear, white at 1, not quantised.

        Args:
            rgb: sRGB. NumPy: (H, W, 3), uint8 or uint16. PyTorch: (3, H, W) or (N, 3, H, W), uint8, uint16,
                or float in [0, 1] (values up to 0.25 outside are clipped). H and W are 2 or more; a trailing
                odd row or column is cropped.
            neutral: R/G and B/G, or R, G and B, of a neutral grey in the RAW, if they are known. For a batch,
                also one row for each photo, (N, 2) or (N, 3).
            exposure: factor on the RAW that the model would predict. For a batch, also (N,).
            samples: number of plausible RAW of each photo, with exposure and white balance drawn from all
                that it allows; the same photo gives the same ones. 0: the expected RAW.

        Returns:
            NumPy: float32 (H/2, W/2, 4), planes R, Gr, Gb, B. PyTorch: float32 (4, H/2, W/2) or
            (N, 4, H/2, W/2), on the device of `rgb`. With samples, these follow the axis of the batch:
            (samples, H/2, W/2, 4), (samples, 4, H/2, W/2) or (N, samples, 4, H/2, W/2).

        Raises:
            InputError: `rgb` has another shape or type, or contains values that are not finite or clearly
                outside of [0, 1]; `neutral` or `exposure` are not positive numbers, too few or too many, or
                given to a model that has no use for them; the model draws no samples; a GPU is used after a
                fork.
        """
        if self._carriage:
            check_bayer(self._carriage.target)
        return run_after_fork(
            lambda: self._each(rgb, lambda raw: pack(mosaic(raw)), neutral, exposure, samples)
        )

    def demosaiced(
        self,
        rgb: np.ndarray | Tensor,
        neutral: ArrayLike | Tensor | None = None,
        exposure: ArrayLike | Tensor = 1.0,
        samples: int = 0,
    ) -> np.ndarray | Tensor:
        """Reconstruct RAW before the mosaic: camera RGB, linear, white at 1; see `predict`.

        Returns:
            NumPy: float32 (H, W, 3). PyTorch: float32 (3, H, W) or (N, 3, H, W), on the device of `rgb`.
        """
        return run_after_fork(lambda: self._each(rgb, lambda raw: raw, neutral, exposure, samples))

    def _each(self, rgb, postprocess, neutral, exposure, samples):
        """Postprocess the demosaiced RAW of each photo; return the type and layout of `rgb`."""
        if samples:
            check_draws_samples(find_model(self.model), samples)

        def reconstruct(
            photo: np.ndarray, neutral: tuple[float, float] | None, exposure: float
        ) -> np.ndarray:
            results = [postprocess(raw) for raw in self._demosaiced(photo, neutral, exposure, samples)]
            return np.stack(results) if samples else results[0]

        if isinstance(rgb, np.ndarray):
            (known,) = known_values(neutral, exposure)
            return reconstruct(rgb, *known)
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(rgb, torch.Tensor):
            raise InputError(f"a photo is a {type(rgb).__name__}; give a NumPy array or a PyTorch tensor")
        check_tensor(rgb)
        single = rgb.ndim == 3
        batch = rgb[None] if single else rgb
        known = known_values(neutral, exposure, None if single else len(batch))
        if not len(batch):  # a photo gives the shape of the results
            batch, known = batch.new_zeros(1, *batch.shape[1:]), known_values(None, 1.0)
        photos = [to_array(photo) for photo in batch]
        raws = [reconstruct(photo, *values) for photo, values in zip(photos, known)]
        stacked = np.ascontiguousarray(np.stack([np.moveaxis(raw, -1, -3) for raw in raws]))
        result = torch.from_numpy(stacked).to(rgb.device)
        return result[0] if single else result[: len(rgb)]

    def _demosaiced(
        self, rgb: np.ndarray, neutral: tuple[float, float] | None, exposure: float, samples: int
    ) -> list[np.ndarray]:
        """Reconstruct demosaiced RAW, or samples of it: uint8 or uint16 (H, W, 3) -> float32 (H, W, 3)."""
        fits = rgb.ndim == 3 and rgb.shape[2] == 3 and min(rgb.shape) >= 2
        if not fits or rgb.dtype not in (np.uint8, np.uint16):
            raise InputError(
                f"a photo of {rgb.shape}, {rgb.dtype}; give uint8 or uint16 (H, W, 3), H and W 2 or more"
            )
        # a view, since the caller may write another photo into the array; see Fusion.judge
        mask, carriage = overexposure_mask(rgb), self._carriage
        picture = Picture(rgb.view(), mask, checksum(rgb), neutral, exposure, carriage=carriage)
        names = name_samples({picture.name: None}, samples)
        pictures = [picture._replace(name=name, is_sample=samples > 0) for name in names]
        return self.method.demosaiced(pictures)()


def check_tensor(rgb: Tensor) -> None:
    """Raise InputError unless a tensor is dense, holds values, and is (3, H, W) or (N, 3, H, W)."""
    if rgb.is_nested or str(rgb.layout) != "torch.strided" or rgb.is_quantized or rgb.is_meta:
        raise InputError("a tensor that is sparse, nested, quantized or on the device meta; give a dense one")
    if rgb.ndim not in (3, 4) or rgb.shape[-3] != 3 or min(rgb.shape[-2:]) < 2:
        raise InputError(f"a tensor of {tuple(rgb.shape)}; give (3, H, W) or (N, 3, H, W), H and W 2 or more")


def to_array(photo: Tensor) -> np.ndarray:
    """Convert a tensor (3, H, W) to an array (H, W, 3), float in [0, 1] to uint16.

    Raises:
        InputError: the floats are not finite, or clearly outside of [0, 1].
    """
    if photo.is_floating_point():
        photo = photo.detach().double()
        low, high = (float(value) for value in photo.aminmax())
        if not (-math.inf < low and high < math.inf):
            raise InputError("a tensor that contains NaN or infinite values; give values in [0, 1]")
        if low < -MAX_OVERSHOOT or high > 1 + MAX_OVERSHOOT:
            raise InputError(
                f"a tensor of values from {low:.4g} to {high:.4g}; give sRGB in [0, 1]:"
                " x / 255 if they are meant to be 0 to 255, (x + 1) / 2 if -1 to 1"
            )
        return np.moveaxis((photo.clamp(0, 1) * 65535).round().cpu().numpy().astype(np.uint16), 0, -1)
    return np.moveaxis(photo.cpu().numpy(), 0, -1)


def checksum(rgb: np.ndarray) -> str:
    """Return the CRC-32 of an array in hexadecimal, which replaces the name of a photo without a file."""
    return f"{zlib.crc32(np.ascontiguousarray(rgb)):08x}"
