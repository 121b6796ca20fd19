"""Fit of a global ISP to one pair of photo and RAW. No torch here.

The model of a pair is RAW = M T(photo): a rising curve T from sRGB to linear values, the same for the three
channels, and a matrix M from linear sRGB to camera RGB. Only their product is determined, so T(1) is 1.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter, uniform_filter
from scipy.optimize import nnls
from scipy.sparse import csr_array, diags_array

from omf.raw.bayer import crop_to_cells, halved
from omf.raw.camera import Camera
from omf.raw.isp import LUMA, clip, decode_srgb, encode_srgb
from omf.raw.simulator import apply_srgb_curves, encode_uniform, mean_settings

KNOTS = np.sort([*np.linspace(0, 1, 17), 29 / 32, 31 / 32])  # sRGB values at which T is fitted
MAX_SRGB, MAX_RAW = 0.985, 0.98  # brighter cells may be clipped, or contain clipped pixels
HIGHLIGHT = 0.9  # sRGB value of the brightest channel, from which a cell is a highlight
MIN_HIGHLIGHTS = 50  # unclipped highlights in the whole photo that determine the RAW of white
MAX_BALANCED = 0.95  # white-balanced RAW, relative to the photo's white, that is surely not clipped
MIN_LINEAR_SRGB = 0.004  # darker channels may be clipped, as those of saturated colours are
GREY_RANGE = 0.1  # difference of the sRGB channels, below which a cell counts as grey
MIN_GREYS = 50  # grey cells that determine a neutral
MIN_CELLS = 500  # that a fit needs
MAX_CELLS = 20_000  # of a photo that are used
EVEN_SHARE = 0.6  # share of the cells, those with the most even surroundings, that are used
MIN_COLOUR_RATIO = 0.06  # of the singular values of the colours, below which a matrix is undetermined
INCREMENTS = np.tril(np.ones((len(KNOTS), len(KNOTS))))  # curve = INCREMENTS @ increments
ITERATIONS = 40
# Weights of the prior and of a smooth deviation from it; small, so that they decide the open directions only
CURVE_PULL, CURVE_SMOOTHING, MATRIX_PULL = 1e-5, 3e-4, 1e-5
OUTLIER = 3.0  # robust standard deviations from which a cell's weight falls


@dataclass(frozen=True)
class Cells:
    """Bayer cells of a pair in even surroundings, neither dark nor clipped."""

    photo: np.ndarray  # (N, 3), sRGB of the cell's mean in linear light
    raw: np.ndarray  # (N, 3), demosaiced RAW
    num_highlights: int  # of all cells of the photo
    exposure: float  # 99th percentile of RAW green


@dataclass(frozen=True)
class GlobalFit:
    """Global model of a pair: RAW = matrix @ curve(photo)."""

    curve: np.ndarray  # (19,), linear values at `KNOTS`, rising to 1
    matrix: np.ndarray  # (3, 3), linear sRGB to camera RGB
    covered: tuple[float, float]  # sRGB range that the photo covers
    has_highlights: bool  # False: the gain is a guess from the prior
    has_greys: bool  # False: the neutral is extrapolated from colours
    has_colours: bool  # False: the colour matrix is the prior's
    residual: float  # PSNR of the model, dB

    def covers(self, srgb: np.ndarray) -> np.ndarray:
        """Return True for sRGB values in the photo's range, with a margin of half a knot."""
        low, high = self.covered
        return (srgb >= low - 1 / 32) & (srgb <= high + 1 / 32)

    @property
    def neutral(self) -> np.ndarray:
        """R/G and B/G of a neutral grey in RAW, (2,)."""
        white = self.matrix.sum(axis=1)
        return white[[0, 2]] / white[1]

    @property
    def gain(self) -> float:
        """Inverse of the RAW green at which the photo reaches white."""
        return float(1 / self.matrix[1].sum())

    @property
    def colour_matrix(self) -> np.ndarray:
        """Linear sRGB to white-balanced camera RGB, (3, 3), rows sum to 1; includes the ISP's saturation."""
        return self.matrix / self.matrix.sum(axis=1, keepdims=True)


def select_cells(rgb: np.ndarray, raw: np.ndarray, max_cells: int = MAX_CELLS) -> Cells | None:
    """Select the cells of a pair that determine a global model, or return None if there are too few.

    Means over 3 x 3 cells, in linear light, have less noise.

    Args:
        rgb: sRGB photo, uint8 or uint16 (H, W, 3), H and W even.
        raw: RAW at half size, float32 (H/2, W/2, 3) in [0, 1].
        max_cells: number of cells to select at most.
    """
    srgb = crop_to_cells(rgb) / np.float32(np.iinfo(rgb.dtype).max)
    linear = halved(decode_srgb(srgb))
    luma = encode_srgb(linear @ LUMA)
    brightest = maximum_filter(srgb.max(axis=-1), 6)[::2, ::2]
    raw = uniform_filter(raw, (3, 3, 1))
    linear = uniform_filter(linear, (3, 3, 1))
    unevenness = uniform_filter(luma**2, 3) - uniform_filter(luma, 3) ** 2
    usable = (brightest < MAX_SRGB) & (linear.min(axis=-1) > MIN_LINEAR_SRGB) & (raw.max(axis=-1) < MAX_RAW)
    if usable.sum() < MIN_CELLS:
        return None
    even = usable & (unevenness <= np.quantile(unevenness[usable], EVEN_SHARE))
    chosen = np.flatnonzero(even)[:: -(-int(even.sum()) // max_cells)]
    return Cells(
        encode_srgb(linear.reshape(-1, 3)[chosen]).astype(float),
        raw.reshape(-1, 3)[chosen].astype(float),
        int((usable & (encode_srgb(linear.max(axis=-1)) > HIGHLIGHT)).sum()),
        float(np.percentile(raw[..., 1], 99)),
    )


def mean_curve(camera: Camera) -> np.ndarray:
    """Return T of a profile's mean ISP: linear values at `KNOTS`, (19,)."""
    linear, srgb = mean_rendering(camera)
    return np.interp(KNOTS, srgb, linear)


def mean_rendering(camera: Camera, count: int = 4097) -> tuple[np.ndarray, np.ndarray]:
    """Return linear levels from 0 to 1, (count,), and their sRGB values by a profile's mean ISP."""
    linear, settings = np.linspace(0, 1, count) ** 2, mean_settings(camera)
    return linear, apply_srgb_curves(encode_uniform(linear, settings), settings)


def hat_functions(srgb: np.ndarray) -> np.ndarray:
    """Return the weights of `KNOTS` in a linear interpolation: any shape (...) -> (..., 19)."""
    position = np.interp(srgb, KNOTS, np.arange(len(KNOTS)))
    return np.maximum(1 - np.abs(position[..., None] - np.arange(len(KNOTS))), 0)


def fit_global(
    cells: Cells, prior_curve: np.ndarray, prior_matrix: np.ndarray, iterations: int = ITERATIONS
) -> GlobalFit:
    """Fit curve and matrix in turn, each by weighted least squares, with a low weight for outliers.

    Whatever the cells leave open follows the priors: the curve outside of the photo's range, its scale in a
    photo without highlights, and the colours of a photo without any.

    The priors are as in `GlobalFit`, (19,) and (3, 3), rows of the matrix sum to 1.
    """
    hats = csr_array(hat_functions(cells.photo).reshape(len(cells.photo), -1))  # two of 19 for each channel
    prior_steps = np.maximum(np.diff(prior_curve, prepend=0), 1e-4)
    importance = 1 / (cells.raw[:, 1] + 0.02)
    importance /= np.sqrt(np.maximum(level_counts(cells.photo[:, 1]), 10))
    importance /= importance.mean()
    weights, curve, matrix = importance, prior_curve, np.eye(3)
    for iteration in range(iterations):
        linear = np.interp(cells.photo, KNOTS, curve)
        matrix = fit_matrix(linear, cells.raw, weights, prior_matrix)
        curve = fit_curve(hats, matrix, cells.raw, weights, prior_steps)
        matrix, curve = matrix * curve[-1], curve / curve[-1]
        if iteration >= 3:
            errors = np.interp(cells.photo, KNOTS, curve) @ matrix.T - cells.raw
            errors = np.linalg.norm(errors, axis=1) * np.sqrt(importance)
            limit = OUTLIER * max(float(np.median(errors)), 1e-6)
            weights = importance * np.minimum(1, limit / np.maximum(errors, 1e-12))
            # the ISP clips bright colours before the matrix
            inside = (cells.raw < MAX_BALANCED * matrix.sum(axis=1)).all(axis=1)
            if inside.sum() > MIN_CELLS:
                weights = weights * inside
    covered = tuple(np.percentile(cells.photo, (0.5, 99.5)).tolist())
    curve, matrix = limit_white(curve, matrix, covered[1])
    linear = np.interp(cells.photo, KNOTS, curve)
    errors = clip(linear @ matrix.T) - cells.raw
    singular = np.linalg.svd(linear, compute_uv=False)
    return GlobalFit(
        curve,
        matrix,
        covered,
        cells.num_highlights >= MIN_HIGHLIGHTS,
        int((np.ptp(cells.photo, axis=1) < GREY_RANGE).sum()) >= MIN_GREYS,
        bool(singular[-1] > MIN_COLOUR_RATIO * singular[0]),
        float(-10 * np.log10(max(np.mean(errors**2), 1e-12))),
    )


def limit_white(curve: np.ndarray, matrix: np.ndarray, brightest: float) -> tuple[np.ndarray, np.ndarray]:
    """Flatten a curve above the photo's brightest sRGB value, so that RAW green ends at 1 and the gain is 1.

    Returns curve and matrix as in `GlobalFit`; they stay if the gain is above 1, or the RAW of the brightest
    value too.
    """
    white = matrix[1].sum()
    last = np.searchsorted(KNOTS, brightest)  # the first knot above
    reached = curve[min(last, len(KNOTS) - 1)] * white
    if white <= 1 or reached >= 1:
        return curve, matrix
    green = curve * white
    green[last:] = reached + (green[last:] - reached) * (1 - reached) / (white - reached)
    return green, matrix / white


def level_counts(srgb: np.ndarray) -> np.ndarray:
    """Return, for each value, the number of values in its sixteenth of [0, 1]: (N,) -> (N,)."""
    levels = np.minimum(srgb * 16, 15).astype(int)
    return np.bincount(levels, minlength=16)[levels]


def fit_matrix(linear: np.ndarray, raw: np.ndarray, weights: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Fit M of raw = M linear: (N, 3), (N, 3), (N,) -> (3, 3); `prior` is its rows up to a factor each."""
    products = (linear * weights[:, None]).T @ linear
    targets = (linear * weights[:, None]).T @ raw
    pull = MATRIX_PULL * np.trace(products)
    rows = []
    for channel in range(3):
        # the factor by which the prior's row fits best
        row = prior[channel]
        scaled = row * (row @ targets[:, channel]) / (row @ products @ row)
        rows.append(np.linalg.solve(products + pull * np.eye(3), targets[:, channel] + pull * scaled))
    return np.array(rows)


def fit_curve(
    hats: csr_array, matrix: np.ndarray, raw: np.ndarray, weights: np.ndarray, prior_steps: np.ndarray
) -> np.ndarray:
    """Fit the curve, rising, (19,), by its increments, 0 or more; those without data take `prior_steps`.

    Args:
        hats: weights of `KNOTS` in the photo's R, G and B, (N, 3 * 19).
        matrix: linear sRGB to camera RGB, (3, 3).
        raw: (N, 3).
        weights: of the cells, (N,).
        prior_steps: (19,).
    """
    weighted, shape = (diags_array(weights) @ hats).T, (3, len(KNOTS), 3)
    products = (weighted @ hats).toarray().reshape(*shape, len(KNOTS))
    products = INCREMENTS.T @ np.einsum("ckdl,cd->kl", products, matrix.T @ matrix) @ INCREMENTS
    targets = INCREMENTS.T @ np.einsum("cki,ic->k", (weighted @ raw).reshape(shape), matrix)
    # relative to the prior's increments, so that the pull treats dark and bright alike
    scaled = products * np.outer(prior_steps, prior_steps)
    pull, smoothing = CURVE_PULL * np.trace(scaled), CURVE_SMOOTHING * np.trace(scaled)
    differences = np.diff(np.eye(len(KNOTS)), axis=0)[1:]  # of neighbouring factors, without the black point
    root = np.linalg.cholesky(scaled + pull * np.eye(len(KNOTS)) + smoothing * differences.T @ differences)
    factors, _ = nnls(root.T, np.linalg.solve(root, targets * prior_steps + pull))
    return np.cumsum(np.maximum(factors, 1e-3) * prior_steps)
