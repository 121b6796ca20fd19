"""Register a finished training as a model: weights, model card, entry in models.yaml."""

import csv
import shutil
from pathlib import Path

import yaml

from omf.models.checkpoints import load_network
from omf.models.registry import check_name, register_model
from omf.networks.registry import name_of
from omf.training.settings import TrainingSettings
from omf.training.train import weights_file
from omf.utils.files import atomic_write, save_text, sha256
from omf.utils.paths import redact_home


def register_trained_model(run: Path, settings: TrainingSettings, models: Path) -> None:
    """Copy a run to `models`/NAME, write its model card and list it in models.yaml.

    Raises:
        InputError: the name is that of a model which was not trained here.
    """
    check_name(settings.name, models)
    folder = models / settings.name
    stages = settings.stages
    for file in (*(weights_file(run, stage) for stage in stages), run / "curves.png", run / "log.csv"):
        with atomic_write(folder / file.name) as temporary:
            shutil.copyfile(file, temporary)
    oe = load_network(weights_file(folder, "oe"))
    files = {}
    for stage in stages:
        path = weights_file(folder, stage)
        files[stage] = {
            "name": f"{settings.name}/{path.name}",
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
        }
    entry = {
        "description": f"{name_of(oe)}, trained on {describe_data(settings)}",
        "camera": settings.camera,
        "widths": list(oe.widths),
        "extra_data": not settings.pairs,
        "source": f"trained with this program; see {settings.name}/README.md",
        "files": files,
        "trained_here": True,
    }
    register_model(settings.name, entry, models)
    save_text(
        folder / "README.md",
        card(settings, name_of(oe), oe.widths, list(csv.DictReader((folder / "log.csv").open()))),
    )


def describe_data(settings: TrainingSettings) -> str:
    """Return the training data in words."""
    if settings.pairs:
        return f"the pairs in {redact_home(str(settings.pairs))}"
    scenes = redact_home([*settings.photos, *settings.linear_images])
    return (
        f"simulated pairs of {settings.camera}, scenes: {', '.join(scenes) if scenes else 'drawn ones only'}"
    )


def describe_networks(settings: TrainingSettings) -> str:
    """Return the networks of the model in words."""
    if not settings.iterations.base:
        return "OE and NOE, as in the published method"
    if not settings.iterations.noe:
        return "A base network for the whole photo, and OE for overexposed pixels"
    return "A base network for the whole photo, refined by OE and NOE"


def card(settings: TrainingSettings, network: str, widths: tuple[int, ...], log: list[dict[str, str]]) -> str:
    """Return the model card, in the format of Hugging Face."""
    lines = ["| Network | Iterations | Last loss | Patches/s |", "|---|---|---|---|"]
    for stage in settings.stages:
        rows = [row for row in log if row["network"] == stage]
        rate = sorted(float(row["patches_per_second"]) for row in rows)[len(rows) // 2]
        lines.append(f"| {stage} | {rows[-1]['iteration']} | {rows[-1]['loss']} | {rate:.1f} |")
    table = "\n".join(lines)
    return f"""---
tags: [reverse-isp, raw, image-to-image]
---

# {settings.name}

A model that turns sRGB photos into the RAW of the camera `{settings.camera}`. {describe_networks(settings)}:
{network}, widths {"-".join(map(str, widths))}.
`demosaic.safetensors` is the Demosaic Net that demosaiced its ground truth.

Trained on {describe_data(settings)}.

{table}

![Training curves](curves.png)

## Settings

```yaml
{yaml.safe_dump(redact_home(settings.model_dump()), sort_keys=False).strip()}
```

Not evaluated yet; `omf evaluate` scores its RAW against ground truth.
"""
