"""Register a finished training as a model of the user's: weights, model card, entry in the list."""

import csv
import shutil
from pathlib import Path

import yaml

from omf.io.camera_profile import known_camera_text
from omf.io.cameras import find_camera, is_profile
from omf.models.checkpoints import load_network
from omf.models.registry import PROFILE, check_free_name, file_entry, register_model
from omf.networks.build import name_of
from omf.training.settings import TrainingSettings
from omf.training.train import remove_other_weights, weights_file
from omf.utils.files import atomic_write, save_text
from omf.utils.paths import MODELS, redact_home, user_folder
from omf.utils.written import is_own, set_aside

MODEL_CARD = "README.md"


def register_trained_model(run: Path, settings: TrainingSettings) -> None:
    """Copy a run to the user's folder of models, write its model card and list it.

    All is copied before the first file of a former training with this name is replaced.

    Raises:
        InputError: the name is that of a model which was not trained here, or the folder can't be written to.
    """
    check_free_name(settings.name)
    folder = user_folder(MODELS) / settings.name
    staging = folder / ".part"
    shutil.rmtree(staging, ignore_errors=True)
    stages = settings.stages
    for file in (*(weights_file(run, stage) for stage in stages), run / "curves.png", run / "log.csv"):
        with atomic_write(staging / file.name, own=True) as temporary:
            shutil.copyfile(file, temporary)
    oe = load_network(weights_file(staging, "oe"))
    entry = {
        "description": f"{name_of(oe)}, trained on {describe_data(settings)}",
        "camera": settings.camera,
        "widths": list(oe.widths),
        "extra_data": not settings.pairs,
        "source": f"trained with this program; see {settings.name}/README.md",
        "files": {stage: file_entry(weights_file(staging, stage), settings.name) for stage in stages},
        "trained_here": True,
    }
    if settings.camera.endswith(".yaml"):  # a file that may go, or be another one in another folder
        shutil.copyfile(settings.camera, staging / PROFILE)
        entry["camera"] = f"{settings.name}/{PROFILE}"
    elif not is_profile(settings.camera):  # so that predictions need neither rawpy nor the RAW file
        save_text(staging / PROFILE, known_camera_text(find_camera(settings.camera)), own=True)
        entry["camera"] = f"{settings.name}/{PROFILE}"
    register_model(settings.name, entry)
    for file in staging.iterdir():
        file.replace(folder / file.name)
    staging.rmdir()
    remove_other_weights(settings, folder)
    if (folder / MODEL_CARD).exists() and not is_own(folder / MODEL_CARD):  # edited by the user
        set_aside(folder / MODEL_CARD)
    save_text(
        folder / MODEL_CARD,
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
