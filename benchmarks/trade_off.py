"""Trade-off between two kinds of photo: base networks for several weights of a camera's last tone group.

    python benchmarks/trade_off.py SETTINGS --weights 0 0.25 0.5 0.75 1 --pairs PAIRS --only 's7_*' \\
        --stretched 's7_deepisp_*' --published PHOTO ANSWER --runs RUNS --out benchmarks/trade_off.md \\
        --plot docs/trade_off.png

SETTINGS are the training settings of a model, of which the base network alone is trained, in folders of RUNS;
finished ones are not trained again. The table gives the PSNR of each reference, or after the best factor, in
brackets, if its scale is unknown. For the other arguments see benchmarks/real.py.
"""

from pathlib import Path

import numpy as np
import torch
import yaml
from real import Reference, add_references, read_references, score, transformed
from reporting import head, make_parser, publish, row, save_plot

from omf.models.checkpoints import load_base
from omf.networks.global_net import GlobalNet, summarise_photo
from omf.raw.camera import profile_path
from omf.training.settings import TrainingSettings, read_settings
from omf.training.train import train_stage, weights_file
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_text
from omf.utils.yaml import parse_yaml


def train(settings: TrainingSettings, weight: float, run: Path) -> GlobalNet:
    """Train the base network with another weight of the profile's last tone group."""
    profile = parse_yaml(profile_path(settings.camera).read_text("utf-8"))
    *others, last = profile["tone_groups"]
    rest = sum(group["weight"] for group in others)
    groups = [group | {"weight": (1 - weight) * group["weight"] / rest} for group in others]
    groups.append(last | {"weight": weight})
    camera = run.with_name(f"{run.name}.yaml")
    profile["tone_groups"] = [group for group in groups if group["weight"]]
    save_text(camera, yaml.safe_dump(profile), own=True)
    train_stage("base", settings.model_copy(update={"camera": str(camera)}), run, torch.device("cpu"))
    return load_base(weights_file(run, "base"))


@torch.inference_mode()
def predict(base: GlobalNet, rgb: np.ndarray) -> np.ndarray:
    """Return the packed base RAW of a photo, float32 (H/2, W/2, 4) in [0, 1]."""
    return transformed(base(*(part[None] for part in summarise_photo(torch.tensor(rgb)))), rgb)


def draw(weights: list[float], psnr: dict[str, list[float]], path: Path) -> None:
    """Plot the PSNR of each reference over the weight."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, values in psnr.items():
        axes.plot(weights, values, marker="o", markersize=4, label=name)
    axes.set(xlabel="weight of the last tone group", ylabel="PSNR, dB (in brackets: after one factor)")
    figure.legend(loc="outside right upper", fontsize=8)
    save_plot(figure, path)


def label(item: Reference) -> str:
    return f"({item.name})" if item.is_stretched else item.name


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("settings", type=Path, help="YAML of training settings")
    add_references(parser)
    parser.add_argument("--weights", nargs="+", type=float, default=[0, 0.25, 0.5, 0.75, 1])
    parser.add_argument("--runs", type=Path, required=True, help="folder for the trainings")
    parser.add_argument("--plot", type=Path, help="PNG of the PSNR")
    arguments = parser.parse_args()
    settings, references = read_settings(arguments.settings), read_references(arguments)
    psnr: dict[str, list[float]] = {label(item): [] for item in references}
    for weight in arguments.weights:
        base = train(settings, weight, arguments.runs / f"weight_{weight:g}")
        for item in references:
            scores = score(predict(base, item.rgb).astype(float), item)
            psnr[label(item)].append(scores["psnr_factor" if item.is_stretched else "psnr"])
    lines = head("Reference", *(f"{weight:g}" for weight in arguments.weights))
    for name, values in (psnr | {"mean": np.mean(list(psnr.values()), axis=0)}).items():
        lines.append(row(name, *(f"{value:.2f}" for value in values)))
    publish(lines, arguments.out)
    if arguments.plot:
        draw(arguments.weights, psnr, arguments.plot)


if __name__ == "__main__":
    main()
