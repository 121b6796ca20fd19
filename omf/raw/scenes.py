"""Synthetic scenes for sample images and for training; they require no photos.

Each scene is a function of height, width and random generator and returns float32 (H, W, 3): linear sRGB
primaries under neutral light, white paper at 1, lights and glints above 1.
"""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.color import hsv2rgb
from skimage.draw import disk, ellipse, polygon

from omf.raw.isp import decode_srgb

Scene = Callable[[int, int, np.random.Generator], np.ndarray]

# sRGB of six skin tones, fair to dark
SKINS = np.array(
    [[244, 208, 177], [231, 180, 143], [210, 158, 124], [186, 119, 80], [135, 86, 60], [75, 47, 37]]
)


def random_colours(count: int, rng: np.random.Generator, saturation: float = 1.0) -> np.ndarray:
    """Sample linear surface colours, (count, 3), of all hues and mostly moderate saturation."""
    hue = rng.uniform(size=count)
    sat = rng.beta(1.3, 2, count) * saturation
    value = rng.uniform(0.15, 1, count)
    return decode_srgb(hsv2rgb(np.stack([hue, sat, value], axis=-1))).astype(np.float32)


def fractal(height: int, width: int, rng: np.random.Generator, slope: float = 1.0) -> np.ndarray:
    """Generate noise, (H, W), with the 1/f spectrum of natural textures, mean 0 and standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) / frequency**slope
    noise = np.fft.irfft2(spectrum, s=(height, width))
    return (noise / noise.std()).astype(np.float32)


def leaves(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw overlapping textured ellipses of all sizes, which have the edge statistics of photos."""
    scene = np.empty((height, width, 3), np.float32)
    scene[:] = random_colours(1, rng)
    texture = np.exp(0.25 * fractal(height, width, rng, 0.8))[..., None]
    size, count = min(height, width), 250
    radii = size * np.sort(rng.pareto(1.5, count) * 0.03 + 0.01)[::-1]
    for radius, colour in zip(np.minimum(radii, size / 2), random_colours(count, rng)):
        centre = rng.uniform(0, height), rng.uniform(0, width)
        axes = radius, radius * rng.uniform(0.3, 1)
        spot = ellipse(*centre, *axes, (height, width), rng.uniform(0, np.pi))
        scene[spot] = colour * rng.uniform(0.5, 1.2)
    return scene * texture * rng.uniform(0.6, 1.2)


def landscape(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a bright sky with clouds and a sun over shaded hills: large overexposed areas."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / min(height, width)
    horizon = height / min(height, width) * 0.6
    scene = np.array([0.35, 0.55, 0.95]) * (0.5 + 0.6 * y / horizon)[..., None]
    clouds = np.clip(fractal(height, width, rng, 1.4) * 0.6, 0, 1.2)[..., None]
    scene = scene * (1 - clouds / 1.2) + 1.5 * clouds
    sun = np.hypot(x - rng.uniform(0.2, 0.8) * x.max(), y - horizon * rng.uniform(0.2, 0.6))
    glow = 6 * np.exp(-((sun / 0.05) ** 2)) + 1.2 * np.exp(-sun / 0.18)
    scene += np.array([1, 0.93, 0.8]) * glow[..., None]
    for distance in (0.25, 0.5, 1.0):
        rise = np.cumsum(gaussian_filter(rng.standard_normal(width), 12))
        ridge = horizon + 0.12 * distance + 0.05 * rise / np.sqrt(width)
        grass = np.array([0.06, 0.13, 0.03]) * distance + np.array([0.25, 0.3, 0.4]) * (1 - distance) * 0.5
        hill = grass * np.exp(0.35 * fractal(height, width, rng))[..., None]
        scene = np.where((y > ridge)[..., None], hill, scene)
    return scene.astype(np.float32)


def night(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw deep shadows with lit windows and street lamps: tiny and small overexposed areas."""
    scene = 0.02 * np.exp(0.5 * fractal(height, width, rng))[..., None] * np.array([0.7, 0.85, 1.2])
    cell = max(min(height, width) // 14, 6)
    for top in range(2 * cell, height - cell, 2 * cell):
        for left in range(cell, width - cell, 2 * cell):
            if rng.uniform() < 0.45:
                colour = np.array([1, rng.uniform(0.6, 0.95), rng.uniform(0.25, 0.8)])
                light = colour * np.exp(rng.uniform(-2, 0.8))
                scene[top : top + cell, left : left + cell * 2 // 3] = light * (0.8 + 0.2 * rng.uniform())
    lamps = np.zeros((height, width, 3))
    for _ in range(12):
        centre = rng.uniform(0, height), rng.uniform(0, width)
        spot = disk(centre, rng.uniform(0.6, 4), shape=(height, width))
        lamps[spot] = np.array([1, 0.85, 0.55]) * rng.uniform(3, 20)
    blurs = ((1, 0.7), (5, 0.3), (20, 0.2))
    glow = sum(share * gaussian_filter(lamps, (sigma, sigma, 0)) for sigma, share in blurs)
    return (scene + glow).astype(np.float32)


def chart(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw patches of skin, saturated and grey colours in uneven light, separated by a grid."""
    rows, columns = 4, 6
    greys = np.repeat(np.array([[0.02], [0.05], [0.12], [0.27], [0.55], [0.9]]), 3, axis=1)
    pure = decode_srgb(hsv2rgb(np.stack([np.arange(12) / 12, np.full(12, 0.95), np.full(12, 0.9)], axis=-1)))
    colours = np.concatenate([decode_srgb(SKINS / 255), pure, greys]).reshape(rows, columns, 3)
    y, x = np.mgrid[0:height, 0:width]
    patch = colours[y * rows // height, x * columns // width].astype(np.float32)
    gap = ((y * rows / height) % 1 < 0.06) | ((x * columns / width) % 1 < 0.04)
    patch[gap] = 0.015
    light = 1.0 + 0.5 * (x / width - 0.5) * rng.choice([-1, 1]) + 0.3 * (y / height - 0.5)
    grain = np.exp(0.02 * rng.standard_normal((height, width, 1)))
    return (patch * light[..., None] * grain).astype(np.float32)


def spheres(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw shaded spheres with glints on a table: smooth gradients into small, bright, white spots."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    table = random_colours(1, rng, 0.5)[0] * (0.35 + 0.5 * y / height)[..., None]
    scene = table * np.exp(0.1 * fractal(height, width, rng))[..., None]
    light = np.array([-0.45, -0.6, 0.66])
    halfway = light + np.array([0, 0, 1])
    halfway /= np.linalg.norm(halfway)
    for colour in random_colours(9, rng):
        radius = min(height, width) * rng.uniform(0.08, 0.25)
        dy, dx = (y - rng.uniform(0, height)) / radius, (x - rng.uniform(0, width)) / radius
        inside = dx**2 + dy**2 < 1
        normal = np.stack([dx, dy, np.sqrt(np.clip(1 - dx**2 - dy**2, 0, 1))], axis=-1)
        shade = 0.12 + 0.9 * np.clip(normal @ light, 0, None)
        glint = 4 * np.clip(normal @ halfway, 0, None) ** rng.uniform(40, 200)
        scene[inside] = (colour * shade[..., None] + glint[..., None])[inside]
    return scene.astype(np.float32)


def bricks(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a brick wall, half in hard sunlight: regular edges, strong texture, a slanted shadow border."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    brick_height = max(min(height, width) / 16, 8)
    row = np.floor(y / brick_height)
    column = np.floor(x / (2.2 * brick_height) + 0.5 * (row % 2))
    tone = np.sin(row * 12.9898 + column * 78.233) * 43758.5453 % 1  # a hash: one tone per brick
    mortar = (y / brick_height % 1 < 0.12) | ((x / (2.2 * brick_height) + 0.5 * (row % 2)) % 1 < 0.055)
    wall = np.array([0.42, 0.16, 0.09]) * (0.6 + 0.7 * tone)[..., None]
    wall[mortar] = [0.55, 0.52, 0.47]
    wall *= np.exp(0.15 * fractal(height, width, rng, 0.7))[..., None]
    sunny = x * rng.uniform(0.5, 0.9) + y * 0.4 > 0.45 * width
    return (wall * np.where(sunny, 2.4, 0.3)[..., None]).astype(np.float32)


def rosette(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a zone plate with coloured sectors: all spatial frequencies, up to the finest."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y, x = y - height / 2, x - width / 2
    rings = 0.5 + 0.45 * np.cos(np.pi * (x**2 + y**2) / max(height, width))
    sector = (np.arctan2(y, x) / (2 * np.pi) * 6).astype(int) % 6
    return (random_colours(6, rng, 0.6)[sector] * 1.5 * rings[..., None]).astype(np.float32)


def paper(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw dark strokes and flat polygons on overexposed paper: thin structures at the edge of the mask."""
    white = np.full((height, width, 3), 1.15, np.float32)
    scene = white * (1 + 0.03 * fractal(height, width, rng, 1.5))[..., None]
    for colour in random_colours(6, rng):
        points = rng.uniform(0, 1, (4, 2)) * [height, width]
        scene[polygon(*points.T, (height, width))] = colour
    for _ in range(120):
        top, left = rng.uniform(0, height), rng.uniform(0, width)
        length, angle = rng.uniform(5, 40), rng.uniform(0, np.pi)
        steps = np.linspace(0, length, int(2 * length))
        rows, columns = (top + np.sin(angle) * steps).astype(int), (left + np.cos(angle) * steps).astype(int)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        scene[rows[inside], columns[inside]] = 0.03
    return scene


SCENES: tuple[Scene, ...] = (leaves, landscape, night, chart, spheres, bricks, rosette, paper)
