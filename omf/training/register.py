"""A finished training becomes a model: weights, model card, entry in models.yaml."""

import csv
import shutil
from pathlib import Path

import yaml

from omf.models.checkpoints import load_network
from omf.models.registry import check_name, register_model
from omf.networks.registry import name_of
from omf.training.settings import Settings, as_dict
from omf.training.train import STAGES, weights_file
from omf.utils.files import atomic_write, save_text, sha256
from omf.utils.paths import redact_home


def register_trained_model(run: Path, settings: Settings, models: Path) -> None:
    """Copy a run's weights and curves to `models`/NAME, write its card, and enter it in `models`/models.yaml.

    Raises:
        InputError: the name belongs to a model that was not trained here.
    """
    check_name(settings.name, models)
    folder = models / settings.name
    for file in (*(weights_file(run, stage) for stage in STAGES), run / "curves.png", run / "log.csv"):
        with atomic_write(folder / file.name) as temporary:
            shutil.copyfile(file, temporary)
    noe = load_network(weights_file(folder, "noe"))
    files = {}
    for stage in ("oe", "noe", "demosaic"):
        path = weights_file(folder, stage)
        files[stage] = {
            "name": f"{settings.name}/{path.name}",
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
        }
    entry = {
        "description": f"{name_of(noe)}, trained on {data_in_words(settings)}",
        "camera": settings.camera,
        "widths": list(noe.widths),
        "extra_data": not settings.pairs,
        "source": f"trained with this program; see {settings.name}/README.md",
        "files": files,
    }
    register_model(settings.name, entry, models)
    save_text(
        folder / "README.md",
        card(settings, name_of(noe), noe.widths, list(csv.DictReader((folder / "log.csv").open()))),
    )


def data_in_words(settings: Settings) -> str:
    if settings.pairs:
        return f"the pairs in {redact_home(str(settings.pairs))}"
    scenes = redact_home([*settings.photos, *settings.linear])
    return (
        f"simulated pairs of {settings.camera}, scenes: {', '.join(scenes) if scenes else 'drawn ones only'}"
    )


def card(settings: Settings, network: str, widths: tuple[int, ...], log: list[dict[str, str]]) -> str:
    """The model card, in the form of Hugging Face."""
    lines = ["| network | steps | last loss | patches/s |", "|---|---|---|---|"]
    for stage in STAGES:
        rows = [row for row in log if row["network"] == stage]
        rate = sorted(float(row["patches_per_second"]) for row in rows)[len(rows) // 2]
        lines.append(f"| {stage} | {rows[-1]['step']} | {rows[-1]['loss']} | {rate:.1f} |")
    table = "\n".join(lines)
    return f"""---
tags: [reverse-isp, raw, image-to-image]
---

# {settings.name}

An OE/NOE pair that turns sRGB photos into the RAW of the camera `{settings.camera}`: {network}, widths {"-".join(map(str, widths))}.
`demosaic.safetensors` is the Demosaic Net that made its ground truth.

Trained on {data_in_words(settings)}.

{table}

![The training curves](curves.png)

## Settings

```yaml
{yaml.safe_dump(redact_home(as_dict(settings)), sort_keys=False).strip()}
```

Not evaluated yet; `omf evaluate` scores its answers against ground truth.
"""
