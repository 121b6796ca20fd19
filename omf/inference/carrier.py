"""Demosaiced RAW of one camera carried to another, on the device of the networks."""

from typing import NamedTuple

import torch
from torch import Tensor

from omf.networks.global_net import GlobalTransform
from omf.raw.camera_colours import Carriage


class Carrier(NamedTuple):
    """Carries the RAW of one photo from one camera to another."""

    matrix: Tensor  # (3, 3)
    factors: Tensor  # (3,): neutral of the target over that of the source

    def transform(self, transform: GlobalTransform) -> GlobalTransform:
        """Return the transform to the RAW of the target."""
        return transform._replace(
            matrix=self.matrix @ transform.matrix, offset=transform.offset @ self.matrix.T
        )

    def __call__(self, raw: Tensor, overexposed: bool) -> Tensor:
        """Carry demosaiced RAW, (3, h, w) in [0, 1], of overexposed pixels or of others.

        Overexposed pixels are about white, and some of their channels clipped, to which a matrix would give a
        colour. They keep the colour that they have after white balance.
        """
        matrix = torch.diag(self.factors) if overexposed else self.matrix
        return (matrix @ raw.flatten(1)).view_as(raw).clamp(0, 1)


def carrier_of(carriage: Carriage, white: Tensor) -> Carrier:
    """Return the carrier for a photo; `white`, (3,), has the ratios of a neutral grey in the source's RAW."""
    neutral = (white / white[1]).double().cpu().numpy()
    matrix = carriage.matrix(neutral)
    factors = matrix @ neutral / neutral
    return Carrier(*(torch.from_numpy(part).to(white) for part in (matrix, factors)))
