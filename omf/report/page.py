"""The report page of a run: a single self-contained HTML file."""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from matplotlib import colormaps

from omf.evaluation.scores import BASELINES, warnings_line
from omf.report import plots
from omf.report.panels import (
    ERROR_COLOURMAP,
    MAX_SHOWN_ERROR,
    Thumbnail,
    jpeg_bytes,
    make_comparison,
    make_panels,
    make_thumbnails,
    strip,
)
from omf.report.summary import TEMPLATES, load_template
from omf.utils.errors import InputError, printable
from omf.utils.files import save_text
from omf.utils.version import VERSION

EXAMPLES_PER_GROUP = 3  # worst, median and best images
MAX_IMAGE_BYTES = 7_500_000  # of all embedded JPEGs; base64 adds a third
JPEG_QUALITIES = (85, 70, 50, 30, 15)  # the first that keeps within `MAX_IMAGE_BYTES` is used
SCORE_NAMES = {"psnr": "PSNR", "consistency_psnr": "consistency"}  # by which images are ranked
COLUMNS = {  # of the table: heading, digits, tooltip
    "psnr": ("PSNR", 2, "dB, as the challenge defines it"),
    "ssim": ("SSIM", 4, "as the challenge defines it"),
    "ms_ssim": ("MS-SSIM", 4, "multi-scale SSIM"),
    "psnr_overexposed": ("PSNR over", 2, "dB, overexposed pixels only"),
    "psnr_rest": ("PSNR rest", 2, "dB, all other pixels"),
    "colour_error": ("colour °", 2, "angle between the mean colours, degrees"),
    "highlight_error": ("highlights", 4, "mean absolute error of samples whose true value is 0.8 or more"),
    "unprocess_psnr": ("unprocess", 2, "PSNR of the classical method, dB"),
    "copy_psnr": ("copy", 2, "PSNR of the photo itself, used as RAW, dB"),
    "consistency_psnr": (
        "consistency",
        2,
        "PSNR in dB of the RAW, rendered to match the photo, against the photo; not accuracy",
    ),
    "expected_psnr": ("expected", 2, "PSNR that the model expected of its answer, dB"),
    "exposure_low": ("exposure ≥", 2, "factor on the RAW; the truth is at least this, in 19 of 20 photos"),
    "exposure_high": ("exposure ≤", 2, "factor on the RAW; the truth is at most this, in 19 of 20 photos"),
    "overexposed": ("overexposed", 4, "share of the photo's pixels that are overexposed"),
    "clipped": ("clipped", 4, "share of the RAW's samples at white"),
}


@dataclass(frozen=True)
class Example:
    """An image that the page shows, with its panels by caption, and pictures for a slider by label."""

    name: str
    caption: str
    panels: dict[str, np.ndarray]
    comparison: dict[str, np.ndarray] = field(default_factory=dict)


def ranking_score(records: dict[str, dict]) -> str:
    """Return the score that ranks the images: PSNR, or consistency if there is no ground truth."""
    return "psnr" if any("psnr" in record for record in records.values()) else "consistency_psnr"


def rank_images(records: dict[str, dict]) -> list[str]:
    """Return the names of the images from the worst to the best; those without the score come last."""
    key = ranking_score(records)
    scores = {name: record.get(key) for name, record in records.items()}
    return sorted(records, key=lambda name: (scores[name] is None, scores[name] or 0))


def select_examples(records: dict[str, dict]) -> dict[str, list[Example]]:
    """Select the worst, median and best images, each image once; the worst one gets a slider."""
    key = ranking_score(records)
    ranked = [name for name in rank_images(records) if records[name].get(key) is not None]
    middle = max((len(ranked) - EXAMPLES_PER_GROUP) // 2, 0)
    groups = {
        "Worst": ranked[:EXAMPLES_PER_GROUP],
        "Best": ranked[::-1][:EXAMPLES_PER_GROUP],
        "Median": ranked[middle : middle + EXAMPLES_PER_GROUP],
    }
    chosen: dict[str, list[str]] = {}
    for heading, names in groups.items():
        taken = {name for group in chosen.values() for name in group}
        chosen[heading] = [name for name in names if name not in taken]
    return {
        heading: [make_example(name, records[name], compared=name == ranked[0]) for name in chosen[heading]]
        for heading in ("Worst", "Median", "Best")
        if chosen[heading]
    }


def make_example(name: str, record: dict, compared: bool = False) -> Example:
    """Render an image, `compared` for the slider too; without panels if its files changed since scoring."""
    try:
        comparison = make_comparison(record) if compared else {}
        return Example(printable(name), caption(record), make_panels(record), comparison)
    except InputError as error:
        return Example(printable(name), f"{caption(record)}; not shown: {error}", {})


def caption(record: dict) -> str:
    """Format the scores and warnings of an image as a caption."""
    parts = []
    if "psnr" in record:
        parts.append(f"PSNR {record['psnr']:.2f} dB, SSIM {record['ssim']:.4f}")
        if record.get("psnr_overexposed") is not None:
            parts.append(f"overexposed {record['psnr_overexposed']:.2f} dB")
    if "consistency_psnr" in record:
        parts.append(f"consistency {record['consistency_psnr']:.2f} dB")
        parts.append(f"{record['overexposed']:.1%} overexposed")
    if "expected_psnr" in record:
        low, high = record["exposure_low"], record["exposure_high"]
        parts.append(f"expected {record['expected_psnr']:.2f} dB, exposure {low:.2f} to {high:.2f} times")
    return "; ".join([*parts, *record.get("warnings", [])])


def short_score(image: dict) -> str:
    """Format the PSNR of an image, or its consistency if there is no ground truth, for its thumbnail."""
    return next((f"{name} {image[key]:.2f} dB" for key, name in SCORE_NAMES.items() if key in image), "")


def draw_plots(records: dict[str, dict], seconds: dict[str, float]) -> dict[str, tuple[str, str]]:
    """Draw the plots that the records allow: {title: (SVG, description)}."""

    def values(key: str) -> list:
        return [record[key] for record in records.values() if record.get(key) is not None]

    def pairs(*keys: str) -> list[tuple]:
        both = (tuple(map(record.get, keys)) for record in records.values())
        return [pair for pair in both if None not in pair]

    key = ranking_score(records)
    scored, label = key == "psnr", f"{SCORE_NAMES[key]}, dB"
    figures = {}
    if scores := values(key):
        figures["Distribution"] = plots.plot_distribution(scores, label), f"Number of images by {label}."
    if both := pairs("overexposed", key):
        svg = plots.plot_against_overexposure(*zip(*both), label)
        figures["Overexposure"] = svg, f"{label} against the share of overexposed pixels; one dot per image."
    if told := pairs("expected_psnr", "psnr"):
        text = "PSNR that the model expected of its answer, and achieved; one dot per image."
        figures["Expectation"] = plots.plot_expectation(*zip(*told)), text
    if scored:
        svg = plots.plot_planes({plane: values(f"psnr_{plane.lower()}") for plane in plots.PLANE_COLOURS})
        figures["Bayer planes"] = svg, "PSNR of each plane over the images: median, quartiles, range."
    # tiny images have too few pixels at every level
    tones, true_tones = (
        [curve for curve in values(key) if max(curve["pixels"]) >= plots.MIN_PIXELS]
        for key in ("tones", "true_tones")
    )
    if tones:
        text = "RAW green against the photo's green: median over the images, and central 80 %."
        figures["Tones"] = plots.plot_tone_curve(tones, true_tones), text
    if seconds:
        figures["Time"] = plots.plot_step_times(seconds), "Total seconds of the jobs of each step."
    return figures


def render_page(
    summary: dict,
    scores: dict,
    examples: dict[str, list[Example]],
    thumbnails: dict[str, Thumbnail],
    figures: dict[str, tuple[str, str]],
    when: datetime,
) -> str:
    """Render the page as HTML, of what `run_summary`, `summarise` and the functions above return.

    `when` is the end of the run.
    """
    images, mean = scores["images"], scores["mean"]
    known = {key for image in images.values() for key, value in image.items() if value is not None}
    columns = {key: column for key, column in COLUMNS.items() if key in known}

    def cell(image: dict, key: str) -> float | None:
        return None if image.get(key) is None else round(image[key], columns[key][1])

    rows = [
        [printable(name), *(cell(image, key) for key in columns), warnings_line(image)]
        for name, image in images.items()
    ]
    shown = [example.name for group in examples.values() for example in group]
    anchors = {name: f"image-{number}" for number, name in enumerate(shown)}
    row_of = {name: row for row, name in enumerate(images)}
    grid = [
        (printable(name), short_score(images[name]), row_of[name], thumbnail)
        for name, thumbnail in thumbnails.items()
    ]
    real = scores["scored"] > scores["simulated"]
    methods = [("this run", mean["psnr"], mean["ssim"], "")]
    methods += [(name, mean[f"{name}_psnr"], mean[f"{name}_ssim"], text) for name, text in BASELINES.items()]
    script = (TEMPLATES / "report.js").read_text("utf-8")
    return load_template("report.html").render(
        summary=summary,
        mean=mean,
        when=when,
        version=VERSION,
        methods=[method for method in methods if method[1] is not None],
        simulated=scores["scored"] > 0 and not real,
        show_leaderboard=real and summary["camera"] == "samsung_s7",
        figures=figures,
        examples=examples,
        quality=choose_quality(examples, thumbnails),
        anchors=anchors,
        grid=grid,
        ranked_by=SCORE_NAMES[ranking_score(images)],
        data_uri=data_uri,
        jpeg_bytes=jpeg_bytes,
        max_shown_error=MAX_SHOWN_ERROR,
        error_colours=colormaps[ERROR_COLOURMAP](np.linspace(0, 1, 9), bytes=True)[:, :3].tolist(),
        columns=columns.values(),
        rows=rows,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def choose_quality(examples: dict[str, list[Example]], thumbnails: dict[str, Thumbnail]) -> int:
    """Return the highest JPEG quality with which all pictures keep within `MAX_IMAGE_BYTES`."""
    left = MAX_IMAGE_BYTES - sum(len(thumbnail.jpeg) for thumbnail in thumbnails.values())
    shown = [example for group in examples.values() for example in group]
    groups = [pictures for example in shown for pictures in (example.panels, example.comparison)]
    pictures = [picture for group in groups for picture in group.values()]
    for quality in JPEG_QUALITIES:
        if sum(len(jpeg_bytes(picture, quality)) for picture in pictures) <= left:
            break
    return quality


def data_uri(media_type: str, content: bytes) -> str:
    """Encode the contents of a file as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def write_report(
    summary: dict, scores: dict, records: dict[str, dict], seconds: dict[str, float], out: Path
) -> dict[str, bytes]:
    """Write the page, an HTML file, and return its images as contents of separate files, see `image_files`.

    Args:
        summary, scores: see `render_page`.
        records: of the images, see `omf.evaluation.scores.score_image`.
        seconds: of each step; empty if unknown.
    """
    examples, figures = select_examples(records), draw_plots(records, seconds)
    thumbnails = make_thumbnails(records, rank_images(records))
    save_text(out, render_page(summary, scores, examples, thumbnails, figures, datetime.now()))
    return image_files(examples, figures)


def image_files(examples: dict[str, list[Example]], figures: dict[str, tuple[str, str]]) -> dict[str, bytes]:
    """Encode the plots and one strip of panels per image as separate files, by file name."""
    files = {}
    for title, (svg, _) in figures.items():
        files[f"plot_{title.lower().replace(' ', '_')}.svg"] = svg.encode()
    for heading, group in examples.items():
        for rank, example in enumerate((example for example in group if example.panels), start=1):
            files[f"images_{heading.lower()}_{rank}.jpg"] = jpeg_bytes(strip(list(example.panels.values())))
    return files
