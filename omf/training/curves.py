"""Plots of training curves."""

import csv
from pathlib import Path

from omf.utils.files import atomic_write


def draw_curves(log: Path, out: Path) -> None:
    """Plot the loss and the learning rate of each network in a training log (CSV) as a PNG file."""
    from matplotlib.figure import Figure  # imported late, as it takes a second

    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    networks = list(dict.fromkeys(row["network"] for row in rows))
    figure = Figure(figsize=(4.5 * len(networks), 3.4), layout="constrained")
    for axes, network in zip(figure.subplots(1, len(networks), squeeze=False)[0], networks):
        network_rows = [row for row in rows if row["network"] == network]
        iterations = [int(row["iteration"]) for row in network_rows]
        loss, rate = ([float(row[name]) for row in network_rows] for name in ("loss", "learning_rate"))
        axes.plot(iterations, loss, color="#0072b2")
        scale = "log" if min(loss) > 0 else "linear"  # a likelihood's loss may be negative
        axes.set(title=network, xlabel="iteration", yscale=scale)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.set_ylabel("loss", color="#0072b2")
        axes.grid(alpha=0.3, which="both")
        right = axes.twinx()
        right.plot(iterations, rate, color="#d55e00", linestyle="--", linewidth=1)
        right.set_ylabel("learning rate", color="#d55e00")
        right.set_ylim(bottom=0)
    with atomic_write(out, own=True) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
