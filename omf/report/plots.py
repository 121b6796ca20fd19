"""Plots of a run, as SVG that goes with a light and with a dark page."""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#010203"  # replaced by the page's own colour of text
STYLE = "<style>svg{color:#222}@media(prefers-color-scheme:dark){svg{color:#ddd}}</style>"
# colours that people with any colour vision tell apart (Okabe and Ito)
BLUE, ORANGE, GREEN, VERMILION, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9"
MAIN = "#2b8cce"  # a blue that stands out on white and on black
PLANE_COLOURS = {"R": VERMILION, "Gr": GREEN, "Gb": SKY, "B": BLUE}
MAX_POINTS = 2000  # of a scatter plot; more say no more
MIN_PIXELS = 20  # of a level of the tone curve in an image


def axes(width: float = 6.0, height: float = 3.4) -> tuple[Figure, Axes]:
    figure = Figure((width, height), layout="constrained")
    plot = figure.add_subplot()
    plot.spines[["top", "right"]].set_visible(False)
    plot.spines[["left", "bottom"]].set_color(INK)
    plot.tick_params(colors=INK)
    plot.xaxis.label.set_color(INK)
    plot.yaxis.label.set_color(INK)
    return figure, plot


def svg(figure: Figure) -> str:
    """The figure as SVG without a background, its ink in the page's colour."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "omf", "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = text.getvalue().replace(INK, "currentColor")
    head, tag, rest = drawing.partition("<defs>")
    return head + STYLE + tag + rest


def legend(plot: Axes) -> None:
    plot.legend(frameon=False, labelcolor=INK, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


def plot_distribution(values: Sequence[float], label: str) -> str:
    """Histogram with the mean."""
    figure, plot = axes()
    plot.hist(values, bins=min(40, max(5, int(np.sqrt(len(values)) * 2))), color=MAIN, rwidth=0.92)
    mean = float(np.mean(values))
    plot.axvline(mean, color=ORANGE, linewidth=2, label=f"mean {mean:.2f}")
    plot.set(xlabel=label, ylabel="images")
    plot.yaxis.get_major_locator().set_params(integer=True)
    legend(plot)
    return svg(figure)


def plot_against_overexposure(shares: Sequence[float], values: Sequence[float], label: str) -> str:
    """Score against the overexposed share of the photo."""
    some = np.linspace(0, len(shares) - 1, min(len(shares), MAX_POINTS)).astype(int)
    figure, plot = axes()
    plot.scatter(
        100 * np.array(shares)[some],
        np.array(values)[some],
        s=60 / max(len(some), 1) ** 0.25,
        color=MAIN,
        alpha=0.7,
        linewidths=0,
    )
    plot.set(xlabel="overexposed pixels, %", ylabel=label)
    plot.set_xscale("symlog", linthresh=1)
    plot.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    return svg(figure)


def plot_planes(psnr_of: dict[str, Sequence[float]]) -> str:
    """PSNR of the Bayer planes R, Gr, Gb and B: median, quartiles, and the range without outliers."""
    figure, plot = axes()
    boxes = plot.boxplot(
        list(psnr_of.values()),
        tick_labels=list(psnr_of),
        patch_artist=True,
        widths=0.6,
        showfliers=len(psnr_of["R"]) < 500,
    )
    for part in ("whiskers", "caps", "medians"):
        for line in boxes[part]:
            line.set_color(INK)
    for box, plane in zip(boxes["boxes"], psnr_of):
        box.set(facecolor=PLANE_COLOURS[plane], edgecolor=INK)
    for flier in boxes["fliers"]:
        flier.set(markeredgecolor=INK, markersize=3)
    plot.set(ylabel="PSNR, dB")
    return svg(figure)


def plot_tone_curve(predicted: Sequence[dict], true: Sequence[dict]) -> str:
    """RAW green for the photo's green: the median over the images, and where 8 of 10 lie.

    Args:
        predicted: `tones` of the images' records.
        true: `true_tones` of those that have them.
    """
    figure, plot = axes()
    for tones, label, colour, line in ((predicted, "predicted", MAIN, "-"), (true, "true", ORANGE, "--")):
        if not tones:
            continue
        values = np.array([one["raw"] for one in tones], float)
        values[np.array([one["pixels"] for one in tones]) < MIN_PIXELS] = np.nan
        held = ~np.isnan(values).all(axis=0)
        levels = (np.flatnonzero(held) + 0.5) * 255 / values.shape[1]
        low, middle, high = np.nanpercentile(values[:, held], (10, 50, 90), axis=0)
        plot.fill_between(levels, low, high, color=colour, alpha=0.2, linewidth=0)
        plot.plot(levels, middle, line, color=colour, label=label, linewidth=2)
    plot.set(xlabel="photo, green, of 255", ylabel="RAW, green, of white", xlim=(0, 255), ylim=(0, 1))
    legend(plot)
    return svg(figure)


def plot_step_times(seconds: dict[str, float]) -> str:
    """Seconds of each stage's jobs, added up."""
    figure, plot = axes(height=0.8 + 0.45 * len(seconds))
    bars = plot.barh(list(seconds), list(seconds.values()), color=MAIN)
    plot.bar_label(bars, [f"{value:.1f} s" for value in seconds.values()], padding=3, color=INK)
    plot.invert_yaxis()
    plot.margins(x=0.15)
    plot.set(xlabel="seconds, all jobs together")
    return svg(figure)
