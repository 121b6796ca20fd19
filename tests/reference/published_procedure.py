"""The published inference procedure, step by step, in any floating-point type.

The steps are those of README.md. They use only plain PyTorch functions on the tensors of the checkpoints, and
no code of the project, so that both can be compared on one machine.

Usage: python published_procedure.py    (writes expected_*_float64.npy; needs a few minutes and 4 GB)
"""

import tempfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import reference_checkpoint
import torch
from torch.nn import functional

HERE = Path(__file__).parent
LEVELS = 5
SIZES = (504, 248)  # of the whole picture, and of its centre
OE, NOE = reference_checkpoint.BRANCHES


def centre(rgb, size):
    """Return the central square of `size` pixels of a square picture (H, H, 3)."""
    first = (len(rgb) - size) // 2
    return rgb[first : first + size, first : first + size]


@torch.no_grad()
def published_raw(rgb, checkpoints, dtype=torch.float32):
    """Reconstruct demosaiced RAW.

    Args:
        rgb: uint8 (H, W, 3); H + 8 and W + 8 must be multiples of 16.
        checkpoints: folder with the two files.
        dtype: type of all computations after the float32 input.

    Returns:
        (H, W, 3) in [0, 1], of `dtype`.
    """
    values = rgb.astype(np.float64) / 255
    mask = values @ (0.299, 0.587, 0.114) >= 0.978
    image = torch.from_numpy(rgb.astype(np.float32)) / 255
    x = torch.cat([image, torch.from_numpy(mask)[..., None].float()], dim=-1)
    x = x.permute(2, 0, 1)[None].contiguous().to(dtype)
    states = (torch.load(Path(checkpoints) / name, weights_only=True) for name in (OE, NOE))
    oe, noe = (u_net(x, state, dtype) for state in states)
    return torch.where(x[:, 3:] == 1, oe.clamp(0, 1), noe.clamp(0, 1))[0].permute(1, 2, 0).numpy()


def u_net(x, state, dtype):
    """Run one U-Net: (1, 4, H, W) -> (1, 3, H, W)."""
    state = {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}

    def conv_bn_relu(x, conv, norm):
        x = functional.conv2d(x, state[f"{conv}.weight"], state[f"{conv}.bias"], padding=1)
        statistics = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        x = functional.batch_norm(x, *statistics, state[f"{norm}.weight"], state[f"{norm}.bias"])
        return functional.relu(x)

    def block(x, name):
        x = conv_bn_relu(x, f"{name}.conv.0", f"{name}.conv.1")
        return conv_bn_relu(x, f"{name}.conv.3", f"{name}.conv.4")

    x = functional.pad(x, (4, 4, 4, 4), value=1.0)
    skips = []
    for level in range(1, LEVELS + 1):
        x = block(functional.max_pool2d(x, 2) if skips else x, f"Conv{level}")
        skips.append(x)
    skips.pop()
    for level in range(LEVELS, 1, -1):
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        x = conv_bn_relu(x, f"Up{level}.up.1", f"Up{level}.up.2")
        x = block(torch.cat((skips.pop(), x), dim=1), f"Up_conv{level}")
    return functional.conv2d(x, state["Conv.weight"], state["Conv.bias"])[..., 4:-4, 4:-4]


def counts(raw):
    """Mosaic and truncate to counts: (H, W, 3) -> packed RGGB, uint16 (H/2, W/2, 4)."""
    planes = raw[0::2, 0::2, 0], raw[0::2, 1::2, 1], raw[1::2, 0::2, 1], raw[1::2, 1::2, 2]
    return (np.stack(planes, axis=-1) * 1024).astype(np.uint16)


if __name__ == "__main__":
    picture = iio.imread(HERE / "input_504.png")
    with tempfile.TemporaryDirectory() as folder:
        reference_checkpoint.main(folder)
        for size in SIZES:
            raw = published_raw(centre(picture, size), folder, torch.float64)
            np.save(HERE / f"expected_{size}_float64.npy", counts(raw))
