"""The interface of all methods: pictures in, RAW out. No torch here."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

Pending = Callable[[], list[np.ndarray]]  # waits for what was begun


class Picture(NamedTuple):
    """A photo, decoded."""

    rgb: np.ndarray  # sRGB (H, W, 3), uint8 or uint16
    mask: np.ndarray  # overexposure mask (H, W), bool
    name: str = ""  # of its RAW file; seeds what is random


class Method(Protocol):
    """What reconstructs RAW. Both calls may return before the work is done."""

    pixels_per_batch: int  # pixels worth giving it at once

    def demosaiced(self, pictures: Sequence[Picture]) -> Pending:
        """Demosaiced RAW, float32 (H, W, 3) in [0, 1], of each picture."""

    def packed(self, pictures: Sequence[Picture]) -> Pending:
        """Bayer RAW in the challenge's format, uint16 (H/2, W/2, 4), of each picture."""
