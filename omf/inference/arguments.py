"""Arguments of reconstruction in the forms in which callers give them. No torch here."""

import re

import numpy as np

from omf.utils.errors import InputError

PRECISIONS = ("float32", "published", "bfloat16", "float16")
KnownValues = tuple[tuple[float, float] | None, float]  # R/G and B/G of a neutral grey, and factor on the RAW


def check_device(device: object) -> str:
    """Return the name of a device or torch.device; raise InputError unless auto, cpu, cuda or cuda:N."""
    name = str(device)
    if re.fullmatch("auto|cpu(:0)?|cuda(:[0-9]{1,3})?", name) is None:
        raise InputError(f"device {name}: no such device; give auto, cpu, cuda or cuda:N, N from 0 on")
    return name.removesuffix(":0") if name.startswith("cpu") else name


def known_values(neutral: object, exposure: object, count: int | None = None) -> list[KnownValues]:
    """Return the neutral and the exposure of each photo.

    Args:
        neutral: R/G and B/G, or R, G and B, of a neutral grey in the RAW, or a row of them for each photo, as
            a sequence, array or tensor; None: unknown.
        exposure: factor on the RAW, or one for each photo.
        count: number of photos of a batch; None: a single photo.

    Raises:
        InputError: a value is not a number above 0, or there are too few or too many.
    """
    exposures = as_numbers(exposure)
    if exposures is None or exposures.shape not in ((), (count,)):
        raise InputError(f"exposure {exposure}; give values above 0: one, or one for each photo of a batch")
    size = 1 if count is None else count
    factors = np.broadcast_to(exposures, size).tolist()
    if neutral is None:
        return [(None, factor) for factor in factors]
    greys = as_numbers(neutral)
    if greys is None or greys.shape[-1:] not in ((2,), (3,)) or greys.shape[:-1] not in ((), (count,)):
        raise InputError(
            f"neutral {neutral}; give values above 0: R/G and B/G, or R, G and B, of a grey in the RAW,"
            " once, or for each photo of a batch"
        )
    if greys.shape[-1] == 3:
        greys = greys[..., ::2] / greys[..., 1:2]
    return list(zip(map(tuple, np.broadcast_to(greys, (size, 2)).tolist()), factors))


def as_numbers(values: object) -> np.ndarray | None:
    """Convert to a float64 array; None unless all values are finite numbers above 0."""
    try:
        array = np.asarray(values.detach().cpu().double() if hasattr(values, "detach") else values)
    except (TypeError, ValueError, RuntimeError):  # rows of different lengths, tensors without data
        return None
    if array.dtype.kind not in "iuf" or not (np.isfinite(array) & (array > 0)).all():
        return None
    return array.astype(np.float64)
