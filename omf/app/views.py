"""Pictures and facts of an answer, for the app. Pictures are uint8 (h, w, 3)."""

from typing import NamedTuple

import numpy as np

from omf.app.workbench import Answer
from omf.evaluation.consistency import consistency
from omf.raw.bayer import crop_to_cells, half_size_photo, halved, mosaic, pack, to_challenge_format
from omf.raw.develop import develop
from omf.raw.isp import encode_srgb, to_8_bit
from omf.raw.photo_profile import photo_colours, thin_out
from omf.report.panels import MASK_COLOUR
from omf.report.plots import plot_histograms
from omf.utils.errors import printable

MAX_VIEW_SIDE = 1024  # pixels, of a picture
ZOOMED_SIDE, ZOOM = 24, 16  # pixels of a photo along a side, even, and the size of each when enlarged


class Views(NamedTuple):
    """Pictures of one answer, of about the same size."""

    photo: np.ndarray
    overexposed: np.ndarray
    mosaic: np.ndarray
    demosaiced: np.ndarray
    rendered: np.ndarray
    neutral: tuple[float, float]  # R/G and B/G of a grey in the RAW


def make_views(answer: Answer) -> Views:
    """Render the pictures of an answer, no side longer than `MAX_VIEW_SIDE`.

    RAW is shown in the sensor's colours, through the sRGB curve. `rendered` is that which `omf render` makes
    of the DNG: a simple ISP with the white balance, colours and tones that the DNG contains.
    """
    rgb, mask = answer.picture.rgb, answer.picture.mask
    raw, photo = shrink(answer.raw), shrink(as_float(rgb))
    share = shrink(mask[..., None].astype(np.float32))
    dimmed = photo.mean(axis=-1, keepdims=True) / 2
    profile, neutral, stops = photo_colours(answer.raw, rgb, answer.camera)
    if profile:
        rendered = develop(raw, neutral, profile.colour_matrix, None, profile.tone_curve)
    else:
        rendered = develop(raw, neutral, answer.camera.mean_colour_matrix, 2**stops)
    return Views(
        photo=to_8_bit(photo),
        overexposed=to_8_bit(dimmed + share * (MASK_COLOUR / 255 - dimmed)),
        mosaic=show_mosaic(thinned(answer.raw)),
        demosaiced=to_8_bit(encode_srgb(raw)),
        rendered=to_8_bit(rendered),
        neutral=(float(neutral[0]), float(neutral[2])),
    )


def reduction(image: np.ndarray) -> int:
    """Return the power of 2 that reduces an image, (H, W, ...), so that no side exceeds `MAX_VIEW_SIDE`."""
    factor = 1
    while max(image.shape[:2]) // factor > MAX_VIEW_SIDE:
        factor *= 2
    return factor


def shrink(image: np.ndarray) -> np.ndarray:
    """Average the pixels of an image, float (H, W, C), by its `reduction`."""
    for _ in range(reduction(image).bit_length() - 1):
        image = halved(image)
    return image


def as_float(rgb: np.ndarray) -> np.ndarray:
    """Scale an integer photo to [0, 1], float32."""
    return rgb / np.float32(np.iinfo(rgb.dtype).max)


def thinned(raw: np.ndarray) -> np.ndarray:
    """Return evenly spaced Bayer cells of demosaiced RAW, by its `reduction`: (H, W, 3) -> (H', W', 3)."""
    return thin_out(crop_to_cells(raw), reduction(raw))


def show_mosaic(raw: np.ndarray) -> np.ndarray:
    """Show the mosaic of demosaiced RAW, (H, W, 3) with H and W even, each pixel in its filter's colour."""
    bayer, coloured = encode_srgb(mosaic(raw)), np.zeros_like(raw)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        coloured[row::2, column::2, channel] = bayer[row::2, column::2]
    return to_8_bit(coloured)


def enlarge(answer: Answer, place: tuple[int, int] | None = None) -> list[np.ndarray]:
    """Enlarge a place of the photo, of its mosaic and of the demosaiced RAW, each pixel as a square.

    Args:
        answer: reconstructed photo.
        place: column and row in one of the pictures of `make_views`; None: the middle.
    """
    height, width = answer.raw.shape[:2]
    column, row = (reduction(answer.raw) * part for part in place) if place else (width // 2, height // 2)
    rows, columns = whole_cells(row, height), whole_cells(column, width)
    raw = answer.raw[rows, columns]
    photo = to_8_bit(as_float(answer.picture.rgb[rows, columns]))
    pictures = (photo, show_mosaic(raw), to_8_bit(encode_srgb(raw)))
    return [picture.repeat(ZOOM, 0).repeat(ZOOM, 1) for picture in pictures]


def whole_cells(centre: int, length: int) -> slice:
    """Return up to `ZOOMED_SIDE` pixels around a pixel, within `length`, that begin and end with a cell."""
    size = min(ZOOMED_SIDE, length // 2 * 2)
    start = min(max(centre - size // 2, 0), length - size) // 2 * 2
    return slice(start, start + size)


def draw_histograms(answer: Answer) -> str:
    """Draw the histograms of the four Bayer planes as SVG."""
    return plot_histograms(pack(mosaic(thinned(answer.raw))))


def tell_facts(answer: Answer) -> list[tuple[str, str]]:
    """Return facts of an answer: pairs of a name and its value, in words."""
    rgb, mask = answer.picture.rgb, answer.picture.mask
    packed, (height, width) = to_challenge_format(answer.raw), mask.shape
    checked = consistency(packed, half_size_photo(rgb), float(mask.mean()), answer.camera)
    facts = [
        ("photo", printable(answer.photo.name)),
        ("size", f"{width} x {height} pixels, {width * height / 1e6:.1f} megapixels"),
        ("time", f"{answer.seconds:.2f} s on {answer.device}"),
        ("overexposed", f"{mask.mean():.2%} of the photo, which OE guesses"),
        ("clipped", f"{checked['clipped']:.2%} of the RAW's samples are at white"),
        ("consistency", f"{checked['consistency_psnr']:.1f} dB with the photo, which is not accuracy"),
    ]
    if expected := answer.expected:
        facts.append(("expected PSNR", f"{expected.psnr:.1f} dB"))
        ranges = {"exposure": expected.exposure, "R/G": expected.red, "B/G": expected.blue}
        for name, (low, high) in ranges.items():
            facts.append((f"true {name}", f"{low:.2f} to {high:.2f} times as predicted, in 9 of 10 photos"))
    return facts + [("warning", warning) for warning in checked["warnings"]]
