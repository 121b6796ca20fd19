"""Plots of a run, as SVG for light and dark pages."""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#010203"  # placeholder, replaced by the text colour of the page
STYLE = "<style>svg{color:#222}@media(prefers-color-scheme:dark){svg{color:#ddd}}</style>"
# distinct for any colour vision (Okabe and Ito)
BLUE, ORANGE, GREEN, VERMILION, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9"
MAIN = "#2b8cce"  # a blue that stands out on white and on black
PLANE_COLOURS = {"R": VERMILION, "Gr": GREEN, "Gb": SKY, "B": BLUE}
HISTOGRAM_BINS = 64
MAX_POINTS = 2000  # of a scatter plot; more add no information
MIN_PIXELS = 20  # of an image at a level of the tone curve; levels with fewer are omitted


def make_axes(xlabel: str = "", ylabel: str = "", height: float = 3.4) -> tuple[Figure, Axes]:
    """Create a figure with one plot, in the page's style."""
    figure = Figure((6.0, height), layout="constrained")
    plot = figure.add_subplot()
    plot.spines[["top", "right"]].set_visible(False)
    plot.spines[["left", "bottom"]].set_color(INK)
    plot.tick_params(colors=INK)
    plot.set_xlabel(xlabel, color=INK)
    plot.set_ylabel(ylabel, color=INK)
    return figure, plot


def to_svg(figure: Figure) -> str:
    """Convert a figure to SVG without a background, its text and lines in the page's text colour."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "omf", "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = text.getvalue().replace(INK, "currentColor")
    head, tag, rest = drawing.partition("<defs>")
    return head + STYLE + tag + rest


def add_legend(plot: Axes) -> None:
    """Add a legend above the plot, on the right."""
    plot.legend(frameon=False, labelcolor=INK, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


def plot_distribution(values: Sequence[float], label: str) -> str:
    """Plot a histogram with the mean."""
    figure, plot = make_axes(label, "images")
    plot.hist(values, bins=min(40, max(5, int(np.sqrt(len(values)) * 2))), color=MAIN, rwidth=0.92)
    mean = float(np.mean(values))
    plot.axvline(mean, color=ORANGE, linewidth=2, label=f"mean {mean:.2f}")
    plot.yaxis.get_major_locator().set_params(integer=True)
    add_legend(plot)
    return to_svg(figure)


def plot_against_overexposure(shares: Sequence[float], values: Sequence[float], label: str) -> str:
    """Plot scores against the overexposed shares of the photos."""
    figure, plot = make_axes("overexposed pixels, %", label)
    scatter(plot, 100 * np.array(shares), values)
    plot.set_xscale("symlog", linthresh=1)
    plot.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    return to_svg(figure)


def scatter(plot: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    """Draw a dot for each image, or for a sample of them."""
    sample = np.linspace(0, len(x) - 1, min(len(x), MAX_POINTS)).astype(int)
    size = 60 / max(len(sample), 1) ** 0.25
    plot.scatter(np.array(x)[sample], np.array(y)[sample], s=size, color=MAIN, alpha=0.7, linewidths=0)


def plot_expectation(expected: Sequence[float], achieved: Sequence[float]) -> str:
    """Plot the PSNR that was achieved against the one that was expected, with the line where they agree."""
    figure, plot = make_axes("expected PSNR, dB", "PSNR, dB")
    scatter(plot, expected, achieved)
    ends = [min(*expected, *achieved), max(*expected, *achieved)]
    plot.plot(ends, ends, "--", color=ORANGE, label="as expected")
    add_legend(plot)
    return to_svg(figure)


def plot_planes(plane_psnr: dict[str, Sequence[float]]) -> str:
    """Plot the PSNR of the Bayer planes R, Gr, Gb and B: median, quartiles, and range without outliers."""
    figure, plot = make_axes(ylabel="PSNR, dB")
    boxes = plot.boxplot(
        list(plane_psnr.values()),
        tick_labels=list(plane_psnr),
        patch_artist=True,
        widths=0.6,
        showfliers=len(plane_psnr["R"]) < 500,
    )
    for part in ("whiskers", "caps", "medians"):
        for line in boxes[part]:
            line.set_color(INK)
    for box, plane in zip(boxes["boxes"], plane_psnr):
        box.set(facecolor=PLANE_COLOURS[plane], edgecolor=INK)
    for flier in boxes["fliers"]:
        flier.set(markeredgecolor=INK, markersize=3)
    return to_svg(figure)


def plot_histograms(packed: np.ndarray) -> str:
    """Plot the histograms of the Bayer planes of packed RAW, float (h, w, 4) in [0, 1]."""
    figure, plot = make_axes("RAW, relative to white", "share of the plane")
    for values, (plane, colour) in zip(np.moveaxis(packed, -1, 0), PLANE_COLOURS.items()):
        counts, edges = np.histogram(values, HISTOGRAM_BINS, (0, 1))
        plot.stairs(counts / values.size, edges, color=colour, label=plane, linewidth=1.5)
    plot.set(xlim=(0, 1), yscale="log")
    add_legend(plot)
    return to_svg(figure)


def plot_tone_curve(predicted: Sequence[dict], true: Sequence[dict]) -> str:
    """Plot RAW green against the photo's green: the median over the images, and the central 80 %.

    Args:
        predicted: `tones` of the images' records, see `omf.evaluation.scores.tone_means`.
        true: `true_tones` of the records that have them.
    """
    figure, plot = make_axes("photo, green, 0 to 255", "RAW, green, relative to white")
    for tones, label, colour, line in ((predicted, "predicted", MAIN, "-"), (true, "true", ORANGE, "--")):
        if not tones:
            continue
        values = np.array([curve["raw"] for curve in tones], float)
        values[np.array([curve["pixels"] for curve in tones]) < MIN_PIXELS] = np.nan
        filled = ~np.isnan(values).all(axis=0)
        levels = (np.flatnonzero(filled) + 0.5) * 255 / values.shape[1]
        low, median, high = np.nanpercentile(values[:, filled], (10, 50, 90), axis=0)
        plot.fill_between(levels, low, high, color=colour, alpha=0.2, linewidth=0)
        plot.plot(levels, median, line, color=colour, label=label, linewidth=2)
    plot.set(xlim=(0, 255), ylim=(0, 1))
    add_legend(plot)
    return to_svg(figure)


def plot_step_times(seconds: dict[str, float]) -> str:
    """Plot the total seconds of each step's jobs."""
    figure, plot = make_axes("seconds, sum over all jobs", height=0.8 + 0.45 * len(seconds))
    bars = plot.barh(list(seconds), list(seconds.values()), color=MAIN)
    plot.bar_label(bars, [f"{value:.1f} s" for value in seconds.values()], padding=3, color=INK)
    plot.invert_yaxis()
    plot.margins(x=0.15)
    return to_svg(figure)
