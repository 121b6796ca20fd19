"""The training curves as a picture."""

import csv
from pathlib import Path

from omf.utils.files import atomic_write


def draw_curves(log: Path, picture: Path) -> None:
    """Loss and learning rate of every network in a training log -> PNG."""
    from matplotlib.figure import Figure  # takes a second to load

    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    networks = list(dict.fromkeys(row["network"] for row in rows))
    figure = Figure(figsize=(4.5 * len(networks), 3.4), layout="constrained")
    for axes, network in zip(figure.subplots(1, len(networks), squeeze=False)[0], networks):
        own = [row for row in rows if row["network"] == network]
        steps = [int(row["step"]) for row in own]
        axes.plot(steps, [float(row["loss"]) for row in own], color="#0072b2")
        axes.set(title=network, xlabel="step", yscale="log")
        axes.set_ylabel("loss", color="#0072b2")
        axes.grid(alpha=0.3, which="both")
        right = axes.twinx()
        right.plot(
            steps, [float(row["learning_rate"]) for row in own], color="#d55e00", linestyle="--", linewidth=1
        )
        right.set_ylabel("learning rate", color="#d55e00")
        right.set_ylim(bottom=0)
    with atomic_write(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
