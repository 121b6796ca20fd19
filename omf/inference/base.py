"""The interface of all reconstruction methods: photos in, RAW out. No torch here."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from omf.raw.bayer import to_challenge_format
from omf.raw.camera_colours import Carriage
from omf.utils.errors import InputError

Pending = Callable[[], list[np.ndarray]]  # waits for submitted work and returns its results


class Picture(NamedTuple):
    """A decoded photo."""

    rgb: np.ndarray  # sRGB (H, W, 3), uint8 or uint16
    mask: np.ndarray  # overexposure mask (H, W), bool
    name: str = ""  # name of the RAW file; seeds random methods
    neutral: tuple[float, float] | None = None  # R/G and B/G of a grey in the RAW, if they are known
    exposure: float = 1.0  # factor on the RAW that the method would predict
    whole: np.ndarray | None = None  # the photo of which this is a part, sRGB (h, w, 3); None: this is all
    is_sample: bool = False  # True: a plausible RAW, drawn by the seed of `name`; False: the expected one
    carriage: Carriage | None = None  # from the model's camera to another; None: the RAW is the model's own


class Expected(NamedTuple):
    """Accuracy that a method expects of its answer to a photo."""

    psnr: float  # dB
    # factors on exposure, R/G and B/G of the RAW between which the true ones lie in 9 of 10 photos
    exposure: tuple[float, float]
    red: tuple[float, float]
    blue: tuple[float, float]


def refuse_known_values(pictures: Sequence[Picture]) -> None:
    """Raise InputError if a neutral or an exposure is given, for methods that have no use for them."""
    if any(picture.neutral or picture.exposure != 1 for picture in pictures):
        raise InputError(
            "the model has no use for a known neutral or exposure; give neither, or inverse or a model with a"
            " base network"
        )


class Method(Protocol):
    """A reconstruction method. Both calls may return before the work is done."""

    pixels_per_batch: int  # number of pixels worth submitting at once

    def demosaiced(self, pictures: Sequence[Picture]) -> Pending:
        """Submit photos; the results are demosaiced RAW, float32 (H, W, 3) in [0, 1]."""

    def packed(self, pictures: Sequence[Picture]) -> Pending:
        """Submit photos; the results are Bayer RAW in the challenge's format, uint16 (H/2, W/2, 4)."""

    def expected(self, picture: Picture) -> Expected | None:
        """Return the accuracy to expect of the answer to a submitted photo; None: the method can't tell."""


class ClassicalMethod(ABC):
    """A method without networks, which computes each photo when the results are requested."""

    pixels_per_batch = 1

    @abstractmethod
    def reconstruct(self, picture: Picture) -> np.ndarray:
        """Reconstruct demosaiced RAW, float32 (H, W, 3) in [0, 1]."""

    def demosaiced(self, pictures: Sequence[Picture]) -> Pending:
        """Implement `Method`."""
        return lambda: [self.reconstruct(picture) for picture in pictures]

    def packed(self, pictures: Sequence[Picture]) -> Pending:
        """Implement `Method`."""
        return lambda: [to_challenge_format(self.reconstruct(picture)) for picture in pictures]

    def expected(self, picture: Picture) -> Expected | None:
        """Implement `Method`."""
        return None
