"""The page that a run leaves: one HTML file that holds all it needs."""

import base64
import hashlib
import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader
from matplotlib import colormaps
from PIL import Image

from omf.evaluation.scores import BASELINES, warnings_line
from omf.report import plots
from omf.report.panels import ERROR_AT_TOP, ERROR_MAP, panels, strip
from omf.utils.errors import InputError, printable
from omf.utils.files import save_text
from omf.utils.version import VERSION

# AIM 2022 Reversed ISP, Samsung S7 track, test 1 (Conde et al. 2022): team, PSNR, SSIM
LEADERBOARD_S7 = [
    ("NOAHTCV", 31.86, 0.83),
    ("MiAlgo", 31.39, 0.82),
    ("SenseBrains (this method)", 28.36, 0.80),
    ("UPI", 26.90, 0.78),
    ("CycleISP", 26.75, 0.78),
    ("U-Net", 26.30, 0.77),
]

TEMPLATES = Path(__file__).parent / "templates"
SHOWN_OF_EACH = 3  # worst, median and best images
JPEG_QUALITIES = (85, 70, 50, 30, 15)  # the first that keeps the pictures within
MAX_PICTURE_BYTES = 8_000_000  # of the page's pictures together; a third is added where they are embedded
COLUMNS = {  # of the table: heading, digits, explanation
    "psnr": ("PSNR", 2, "dB, the challenge's"),
    "ssim": ("SSIM", 4, "the challenge's"),
    "ms_ssim": ("MS-SSIM", 4, "multi-scale SSIM"),
    "psnr_overexposed": ("PSNR over", 2, "dB, over the overexposed pixels"),
    "psnr_rest": ("PSNR rest", 2, "dB, over the other pixels"),
    "colour_error": ("colour °", 2, "angle between the mean colours, degrees"),
    "highlight_error": ("highlights", 4, "mean absolute error where the truth is 0.8 or more"),
    "unprocess_psnr": ("unprocess", 2, "PSNR of the classical method, dB"),
    "copy_psnr": ("copy", 2, "PSNR of the photo itself taken for RAW, dB"),
    "consistency_psnr": (
        "consistency",
        2,
        "dB between the photo and the RAW, rendered with colours and tones fitted; not accuracy",
    ),
    "overexposed": ("overexposed", 4, "share of the photo's pixels"),
    "clipped": ("clipped", 4, "share of the RAW's samples at white"),
}


@dataclass(frozen=True)
class Example:
    """An image that the page shows."""

    name: str
    caption: str
    pictures: dict[str, np.ndarray]


def examples(records: dict[str, dict]) -> dict[str, list[Example]]:
    """The worst, median and best images by PSNR - without ground truth, by consistency - each image once."""
    key = "psnr" if any("psnr" in record for record in records.values()) else "consistency_psnr"
    ordered = sorted(
        (name for name in records if records[name].get(key) is not None), key=lambda name: records[name][key]
    )
    middle = max((len(ordered) - SHOWN_OF_EACH) // 2, 0)
    groups = {
        "Worst": ordered[:SHOWN_OF_EACH],
        "Best": ordered[::-1][:SHOWN_OF_EACH],
        "Median": ordered[middle : middle + SHOWN_OF_EACH],
    }
    taken: set[str] = set()
    found = {}
    for heading, names in groups.items():
        new = [name for name in names if name not in taken]
        taken.update(new)
        found[heading] = [example(name, records[name]) for name in new]
    return {heading: found[heading] for heading in ("Worst", "Median", "Best") if found[heading]}


def example(name: str, record: dict) -> Example:
    """An image, without pictures where its files have gone or changed since it was scored."""
    try:
        return Example(printable(name), caption(record), panels(record))
    except InputError as error:
        return Example(printable(name), f"{caption(record)}; not shown: {error}", {})


def caption(record: dict) -> str:
    """The scores of an image, in words."""
    parts = []
    if "psnr" in record:
        parts.append(f"PSNR {record['psnr']:.2f} dB, SSIM {record['ssim']:.4f}")
        if record.get("psnr_overexposed") is not None:
            parts.append(f"overexposed {record['psnr_overexposed']:.2f} dB")
    if "consistency_psnr" in record:
        parts.append(f"consistency {record['consistency_psnr']:.2f} dB")
        parts.append(f"{record['overexposed']:.1%} overexposed")
    return "; ".join([*parts, *record.get("warnings", [])])


def drawn(records: dict[str, dict], seconds: dict[str, float]) -> dict[str, tuple[str, str]]:
    """The plots that the records allow: {title: (SVG, what it shows)}."""

    def values(key: str) -> list[float]:
        return [record[key] for record in records.values() if record.get(key) is not None]

    scored = bool(values("psnr"))
    key, label = ("psnr", "PSNR, dB") if scored else ("consistency_psnr", "consistency, dB")
    found = {}
    if values(key):
        found["Distribution"] = (
            plots.plot_distribution(values(key), label),
            f"How many images have which {label}.",
        )
    both = [record for record in records.values() if record.get(key) is not None and "overexposed" in record]
    if both:
        picture = plots.plot_against_overexposure(
            [record["overexposed"] for record in both], [record[key] for record in both], label
        )
        found["Overexposure"] = (
            picture,
            f"{label} against the share of overexposed pixels; a dot is an image.",
        )
    if scored:
        picture = plots.plot_planes({plane: values(f"psnr_{plane.lower()}") for plane in plots.PLANE_COLOURS})
        found["Bayer planes"] = picture, "PSNR of each plane over the images: median, quartiles, range."
    # tiny images have too few pixels of every level
    tones, true_tones = (
        [one for one in values(key) if max(one["pixels"]) >= plots.MIN_PIXELS]
        for key in ("tones", "true_tones")
    )
    if tones:
        picture = plots.plot_tone_curve(tones, true_tones)
        found["Tones"] = (
            picture,
            "RAW green for the photo's green: the median over the images, and where 8 of 10 lie.",
        )
    if seconds:
        found["Time"] = plots.plot_step_times(seconds), "Seconds that the jobs of each stage took, added up."
    return found


def page(
    summary: dict,
    scores: dict,
    shown: dict[str, list[Example]],
    plotted: dict[str, tuple[str, str]],
    when: datetime,
) -> str:
    """The page.

    Args:
        summary: see `omf.report.summary.run_summary`.
        scores: see `omf.evaluation.scores.summarise`.
        shown: see `examples`.
        plotted: see `drawn`.
        when: the run ended.
    """
    images = scores["images"]
    columns = {
        key: column
        for key, column in COLUMNS.items()
        if any(image.get(key) is not None for image in images.values())
    }
    rows = [
        [
            printable(name),
            *(None if image.get(key) is None else round(image[key], columns[key][1]) for key in columns),
            warnings_line(image),
        ]
        for name, image in images.items()
    ]
    mean = scores["mean"]
    methods = [("this run", mean["psnr"], mean["ssim"], "")]
    methods += [(name, mean[f"{name}_psnr"], mean[f"{name}_ssim"], text) for name, text in BASELINES.items()]
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    script = (TEMPLATES / "report.js").read_text("utf-8")
    return templates.get_template("report.html").render(
        summary=summary,
        mean=mean,
        rate=summary["images"] / summary["seconds"] if summary.get("seconds") else None,
        when=f"{when:%Y-%m-%d %H:%M}",
        version=VERSION,
        methods=[method for method in methods if method[1] is not None],
        leaderboard=LEADERBOARD_S7 if summary["scored"] and summary["camera"] == "samsung_s7" else [],
        plots=[
            (title, data_uri("image/svg+xml", svg.encode()), text) for title, (svg, text) in plotted.items()
        ],
        shown=embedded(shown),
        error_at_top=ERROR_AT_TOP,
        error_colours=[
            "#{:02x}{:02x}{:02x}".format(*colormaps[ERROR_MAP](x, bytes=True)[:3])
            for x in np.linspace(0, 1, 9)
        ],
        columns=columns,
        rows=rows,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def embedded(shown: dict[str, list[Example]]) -> dict[str, list[tuple[str, str, dict]]]:
    """Of each group, name, caption and {caption: (data URI, width, height)} of each image; all together not too large."""
    for quality in JPEG_QUALITIES:
        files = [
            jpeg_bytes(picture, quality)
            for group in shown.values()
            for one in group
            for picture in one.pictures.values()
        ]
        if sum(map(len, files)) <= MAX_PICTURE_BYTES:
            break
    left = iter(files)
    return {
        heading: [
            (
                one.name,
                one.caption,
                {
                    text: (data_uri("image/jpeg", next(left)), p.shape[1], p.shape[0])
                    for text, p in one.pictures.items()
                },
            )
            for one in group
        ]
        for heading, group in shown.items()
    }


def jpeg_bytes(picture: np.ndarray, quality: int = JPEG_QUALITIES[0]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "jpeg", quality=quality)
    return content.getvalue()


def data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def write_report(
    summary: dict, scores: dict, records: dict[str, dict], seconds: dict[str, float], out: Path
) -> dict[str, bytes]:
    """Write the page to `out`; its pictures come back as files to be, see `files`.

    Args:
        summary: see `page`.
        scores: see `page`.
        records: of the images, see `omf.evaluation.scores.examine`.
        seconds: of each stage; none: not known.
        out: the HTML file.
    """
    shown, plotted = examples(records), drawn(records, seconds)
    save_text(out, page(summary, scores, shown, plotted, datetime.now()))
    return files(shown, plotted)


def files(shown: dict[str, list[Example]], plotted: dict[str, tuple[str, str]]) -> dict[str, bytes]:
    """The page's pictures as files of their own, by name: one strip for each image, and the plots."""
    found = {
        f"plot_{title.lower().replace(' ', '_')}.svg": svg.encode() for title, (svg, _) in plotted.items()
    }
    for heading, group in shown.items():
        for rank, one in enumerate((one for one in group if one.pictures), start=1):
            found[f"images_{heading.lower()}_{rank}.jpg"] = jpeg_bytes(strip(list(one.pictures.values())))
    return found
