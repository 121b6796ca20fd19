"""The U-Net with fewer operations for the same function: how it is run, once it is trained."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from omf.networks.unet import ConvBlock, UNet, UpConv
from omf.networks.winograd import MIN_CHANNELS, WinogradConv


class FusedUNet(nn.Module):
    """A U-Net's body: batch norm folded into the convolutions, up-convolutions on the small grid, channels last.

    Args:
        unet: trained; left as it is.
        dtype: of all but the last convolution, which stays float32.
        winograd: whether convolutions of many channels are Winograd's, in float32. It pays on a CPU.
    """

    def __init__(self, unet: UNet, dtype: torch.dtype = torch.float32, winograd: bool = False):
        super().__init__()
        self.dtype = dtype
        self.bytes_per_pixel = (
            4 * 6 * unet.widths[0]
        )  # about what is held at once for each pixel of the input, float32
        levels = range(1, len(unet.widths) + 1)
        self.encoders = nn.ModuleList(
            fused_block(getattr(unet, f"Conv{level}"), winograd) for level in levels
        )
        self.ups = nn.ModuleList(SubPixelUpConv(getattr(unet, f"Up{level}")) for level in levels[:0:-1])
        self.decoders = nn.ModuleList(
            fused_block(getattr(unet, f"Up_conv{level}"), winograd) for level in levels[:0:-1]
        )
        self.last = copied(unet.Conv, unet.Conv.weight, unet.Conv.bias)
        self.eval().requires_grad_(False).to(dtype, memory_format=torch.channels_last)
        self.last.float()

    def forward(self, x: Tensor) -> Tensor:
        """float32 (N, C, H, W) -> float32 (N, C', H, W), H and W multiples of the network's grid."""
        x = x.to(self.dtype, memory_format=torch.channels_last)
        skips = []
        for encoder in self.encoders:
            if skips:
                x = functional.max_pool2d(x, 2)
            x = encoder(x)
            skips.append(x)
        skips.pop()
        for up, decoder in zip(self.ups, self.decoders):
            x = decoder(up(x, skips.pop()))
        return self.last(x.float())


class SubPixelUpConv(nn.Module):
    """Nearest-neighbour up-sampling and 3 x 3 convolution as four 2 x 2 convolutions before the up-sampling.

    Each of the four output phases (even or odd row, even or odd column) sees only 2 x 2 different pixels of
    the small grid: the taps that fall on the same one are added up. 16 multiplications for what took 36.
    """

    def __init__(self, up: UpConv):
        super().__init__()
        _, conv, norm, _ = up.up
        weight, bias = fold(conv, norm)
        kernels = [
            merge_taps(merge_taps(weight, 2, row), 3, column) for row in range(2) for column in range(2)
        ]
        self.conv = nn.Conv2d(conv.in_channels, 4 * conv.out_channels, 2, padding=1)
        self.conv.weight.data = torch.cat(kernels).float()
        self.conv.bias.data = bias.repeat(4).float()

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(N, C, H, W) and (N, C', 2H, 2W) -> (N, 2C', 2H, 2W): skip's channels, then the up-sampled ones."""
        batch, channels, height, width = skip.shape
        merged = torch.empty(
            (batch, 2 * channels, height, width),
            dtype=skip.dtype,
            device=skip.device,
            memory_format=torch.channels_last,
        )
        merged[:, :channels] = skip
        phases = functional.relu_(self.conv(x)).split(channels, dim=1)
        for phase, (row, column) in zip(phases, ((0, 0), (0, 1), (1, 0), (1, 1))):
            # odd phases look one small pixel further: down for rows, right for columns
            window = phase[:, :, row : row + height // 2, column : column + width // 2]
            merged[:, channels:, row::2, column::2] = window
        return merged


def merge_taps(weight: Tensor, axis: int, phase: int) -> Tensor:
    """Add up, along an axis of a 3 x 3 kernel, the two taps that fall on the same small pixel."""
    first, middle, last = weight.unbind(axis)
    return torch.stack((first, middle + last) if phase == 0 else (first + middle, last), axis)


@torch.no_grad()  # or what is made of them would keep the trained weights in memory
def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """float64 weight and bias of the convolution that does what these two do."""
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return conv.weight.double() * scale[:, None, None, None], (
        conv.bias.double() - norm.running_mean.double()
    ) * scale + norm.bias.double()


def fused_block(block: ConvBlock, winograd: bool) -> nn.Sequential:
    """The two convolutions of a block, without their batch norms."""
    first, first_norm, _, second, second_norm, _ = block.conv
    convs = []
    for conv, norm in ((first, first_norm), (second, second_norm)):
        kind = (
            WinogradConv
            if winograd and min(conv.in_channels, conv.out_channels) >= MIN_CHANNELS
            else partial(copied, conv)
        )
        convs += [kind(*fold(conv, norm)), nn.ReLU(inplace=True)]
    return nn.Sequential(*convs)


def copied(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """A convolution of the same shape with other weights."""
    copy = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, padding=conv.padding)
    copy.weight.data, copy.bias.data = weight.detach().float().clone(), bias.detach().float().clone()
    return copy
