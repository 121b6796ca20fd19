"""Train a small RAW denoiser on photos only, from RAW that is reconstructed of them.

python examples/train_denoiser.py PHOTOS             a folder of sRGB photos; about a minute on two cores
python examples/train_denoiser.py --shards TAR ...   tars that a run with output_format webdataset wrote
"""

import argparse
import io
import json
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

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
        return noisy_patch(self.raws[rng.integers(len(self.raws))], rng)


class ShardedRaw(IterableDataset):
    """The same pairs from tars, which are read from beginning to end, again and again.

    Args:
        tars: with NAME.npy and NAME.json of each sample.
        held_out: True for every fourth sample, False for the others.
        seed: of patches and noise.
    """

    def __init__(self, tars: list[Path], held_out: bool, seed: int):
        self.tars, self.held_out, self.seed = tars, held_out, seed

    def raws(self) -> Iterator[np.ndarray]:
        """Yield RAW of at least a patch, float32 (H/2, W/2, 4), white at 1."""
        number = 0
        for path in self.tars:
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.name.endswith(".npy"):
                        counts = np.load(io.BytesIO(tar.extractfile(member).read()))
                    elif member.name.endswith(".json"):  # comes last
                        facts = json.load(tar.extractfile(member))
                        if min(counts.shape[:2]) < PATCH:
                            continue
                        if (number % 4 == 0) == self.held_out:
                            yield counts.astype(np.float32) / facts["white_level"]
                        number += 1
        if number < 2:
            raise SystemExit(f"the tars contain {number} RAW of {PATCH} x {PATCH} or more; give two or more")

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(self.seed)
        while True:
            for raw in self.raws():
                yield noisy_patch(raw, rng)


def noisy_patch(raw: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a random patch of RAW with noise and without, float32 (4, 96, 96) each."""
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


def train(training: Dataset, held_out: Dataset, steps: int) -> tuple[float, float]:
    """Train a denoiser; return the PSNR (dB) of held-out patches before and after denoising."""
    torch.manual_seed(0)
    network = Denoiser()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for step, (noisy, clean) in enumerate(islice(DataLoader(training, batch_size=4), steps)):
        loss = (network(noisy) - (noisy - clean)).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 20 == 0:
            print(f"step {step}: mean error {loss.item():.4f}", flush=True)
    with torch.no_grad():
        noisy, clean = next(iter(DataLoader(held_out, batch_size=16)))
        return psnr(noisy - clean), psnr(noisy - network(noisy) - clean)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--shards", type=Path, nargs="+", metavar="TAR")
    parser.add_argument("--steps", type=int, default=150)
    arguments = parser.parse_args()
    if arguments.shards:
        data = ShardedRaw(arguments.shards, False, 0), ShardedRaw(arguments.shards, True, 1)
    elif arguments.photos:
        photos = [read_rgb(photo) for photo in list_images(arguments.photos)]
        photos = [photo for photo in photos if min(photo.shape[:2]) >= 2 * PATCH]
        training = [photo for index, photo in enumerate(photos) if index % 4]
        data = NoisyRaw(training, 4 * arguments.steps, seed=0), NoisyRaw(photos[::4], 16, seed=1)
    else:
        parser.error("give a folder of photos, or --shards")
    before, after = train(*data, arguments.steps)
    print(f"held-out photos: {before:.2f} dB noisy, {after:.2f} dB denoised")


if __name__ == "__main__":
    main()
