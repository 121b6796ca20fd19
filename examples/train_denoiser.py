"""Train a small RAW denoiser on photos only, from RAW that is reconstructed of them.

python examples/train_denoiser.py PHOTOS    PHOTOS: a folder of sRGB photos; about a minute on two cores
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import omf
from omf.io.images import read_rgb
from omf.io.photos import list_images
from omf.raw.isp import add_noise

PATCH = 96  # patch side in packed RAW, pixels
SHOT, READ = 1e-2, 1e-3  # noise variance at white and at black: a very high ISO


class NoisyRaw(Dataset):
    """Pairs of noisy and clean RAW, float32 (4, 96, 96) each: random patches of the RAW of whole photos."""

    def __init__(self, photos: list[np.ndarray], count: int, seed: int):
        self.count, self.seed = count, seed
        # whole photos: exposure, white balance and tone can't be seen in a patch
        reconstructor = omf.Reconstructor()
        self.raws = [reconstructor.predict(photo) for photo in photos]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, index])
        raw = self.raws[rng.integers(len(self.raws))]
        top, left = (rng.integers(size - PATCH + 1) for size in raw.shape[:2])
        patch = raw[top : top + PATCH, left : left + PATCH]
        clean = np.ascontiguousarray(np.moveaxis(patch, -1, 0))
        return add_noise(clean, SHOT, READ, rng).astype(np.float32), clean


class Denoiser(nn.Module):
    """Network that predicts the noise of (N, 4, h, w) from the difference of each value to its local mean."""

    def __init__(self, width: int = 16, scale: float = 10.0):
        super().__init__()
        self.scale = scale  # scales noise to about 1
        self.smooth = nn.AvgPool2d(5, stride=1, padding=2, count_include_pad=False)
        layers: list[nn.Module] = [nn.Conv2d(4, width, 3, padding=1), nn.ReLU()]
        for _ in range(2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 4, 3, padding=1))

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        return self.layers((noisy - self.smooth(noisy)) * self.scale) / self.scale


def psnr(error: torch.Tensor) -> float:
    """Return the PSNR in dB of an error, for a maximum of 1."""
    return float(-10 * torch.log10((error**2).mean()))


def train(photos: list[np.ndarray], steps: int) -> tuple[float, float]:
    """Train a denoiser; return the PSNR (dB) of held-out patches before and after denoising."""
    torch.manual_seed(0)
    network = Denoiser()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    training_photos = [photo for index, photo in enumerate(photos) if index % 4]
    loader = DataLoader(NoisyRaw(training_photos, 4 * steps, seed=0), batch_size=4)
    for step, (noisy, clean) in enumerate(loader):
        loss = (network(noisy) - (noisy - clean)).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 20 == 0:
            print(f"step {step}: mean error {loss.item():.4f}", flush=True)
    with torch.no_grad():
        noisy, clean = next(iter(DataLoader(NoisyRaw(photos[::4], 16, seed=1), batch_size=16)))
        return psnr(noisy - clean), psnr(noisy - network(noisy) - clean)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--steps", type=int, default=150)
    arguments = parser.parse_args()
    photos = [read_rgb(photo) for photo in list_images(arguments.photos)]
    before, after = train([photo for photo in photos if min(photo.shape[:2]) >= 2 * PATCH], arguments.steps)
    print(f"held-out photos: {before:.2f} dB noisy, {after:.2f} dB denoised")


if __name__ == "__main__":
    main()
