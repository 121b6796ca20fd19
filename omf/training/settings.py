"""The settings of a training run. A run resumes only with the same settings. No torch here."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from omf.utils.errors import InputError
from omf.utils.sections import Section, validate
from omf.utils.yaml import parse_yaml

# The stages of a training, each of one network, with those whose weights it requires
STAGES = {
    "base": (),
    "demosaic": (),
    "noe": ("base", "demosaic"),
    "oe": ("base", "demosaic", "noe"),
    "spread": ("base",),
}


class Iterations(Section):
    """Training iterations of each network."""

    base: int = Field(
        300,
        ge=0,
        description=("Of the base network, which sees the whole photo; 0: none, as in the published method."),
    )
    demosaic: int = Field(300, ge=1, description="Of the Demosaic Net, which demosaics the ground truth.")
    noe: int = Field(
        0,
        ge=0,
        validate_default=True,
        description="Of NOE; 0: none, the base network predicts the pixels that are not overexposed.",
        json_schema_extra={
            "requirement": "a whole number, 0 or more; without a base network (base: 0) 1 or more"
        },
    )
    oe: int = Field(300, ge=1, description="Of OE.")
    spread: int = Field(
        100, ge=0, description="Of the network that tells how far the base network may be off; 0: none."
    )

    @field_validator("noe")
    @classmethod
    def _require_base_or_noe(cls, noe: int, info: ValidationInfo) -> int:
        if not noe and not info.data.get("base", 1):
            raise ValueError("there is neither a base network nor NOE")
        return noe


class Loss(Section):
    """Weights of the terms of one network's loss, over its own pixels."""

    l1: float = Field(1.0, ge=0, description="Weight of the mean absolute error.")
    l2: float = Field(0.0, ge=0, description="Weight of the mean squared error.")
    ms_ssim: float = Field(0.2, ge=0, description="Weight of 1 - MS-SSIM.")
    colour: float = Field(
        0.0, ge=0, description="Weight of the squared error of R - G and B - G, white-balanced."
    )


class Losses(Section):
    """The losses of both networks, and of their fusion."""

    noe: Loss = Field(Loss(), description="Over the pixels that are not overexposed.")
    oe: Loss = Field(Loss(), description="Over the overexposed pixels.")
    seam: float = Field(0.0, ge=0, description="Weight, in OE's loss, of steps along the edge of the mask.")


class TrainingSettings(Section):
    """Settings of `./test train` and `omf train`. The defaults train a tiny model in a few minutes."""

    name: str = Field(
        "my_model",
        pattern="^[A-Za-z0-9_]+$",
        description="Name of the model, for the setting model.",
        json_schema_extra={"requirement": "letters, digits and underscores; a number in quotes"},
    )
    pairs: str = Field("", description="Folder of photo/RAW pairs; empty: simulate pairs.")
    photos: list[str] = Field([], description="Folders of photos to simulate from; none: drawn scenes.")
    linear_images: list[str] = Field([], description="Folders of linear 16-bit images to simulate from.")
    exclude: str = Field("", description="Text file of photo names (globs) never to train on.")
    camera: str = Field(
        "samsung_s7",
        min_length=1,
        description="Camera to simulate: a profile, a RAW file of it, or a name that LibRaw knows.",
    )
    network: Literal["unet", "packed_unet", "nafnet"] = Field(
        "unet", description="Architecture of OE and NOE."
    )
    widths: list[int] = Field(
        [8, 16, 32, 64],
        min_length=2,
        description="Channels of each level, finest first.",
        json_schema_extra={"requirement": "a list of two or more whole numbers, 1 or more"},
    )
    init_from: str = Field("", description="Model to fine-tune; empty: random weights.")
    iterations: Iterations = Field(Iterations(), description="Training iterations of each network.")
    loss: Losses = Field(Losses(), description="Weights of the terms of the loss.")
    batch_size: int = Field(12, ge=1, description="Patches in an iteration, over all GPUs.")
    patch_size: int = Field(
        120,
        ge=24,
        multiple_of=2,
        description="Height and width of a patch, pixels.",
        json_schema_extra={"requirement": "an even number of pixels, 24 or more"},
    )
    learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate.")
    warmup_iterations: int = Field(
        50, ge=0, description="Iterations until the learning rate reaches its peak."
    )
    ema_decay: float = Field(0.998, ge=0, lt=1, description="Decay of the moving average of the weights.")
    seed: int = Field(0, ge=0, description="Random seed of patches and initial weights.")
    num_gpus: int = Field(1, ge=1, description="GPUs that share each batch (DistributedDataParallel).")

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of the training: those with iterations; the spread is that of a base network."""
        left_out = () if self.iterations.base else ("spread",)
        return tuple(stage for stage in STAGES if getattr(self.iterations, stage) and stage not in left_out)


def read_settings(path: Path) -> TrainingSettings:
    """Read training settings from a YAML or JSON file, or from the section `training` of a config.yaml.

    Raises:
        InputError: unreadable file, unknown setting or invalid value.
    """
    try:
        given = parse_yaml(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: can't be read as settings ({reason}); give YAML, as in config.yaml"
        ) from error
    if not isinstance(given, dict):
        raise InputError(
            f"{path}: no settings in it; give `name: value` lines, as under `training` in config.yaml"
        )
    return validate(TrainingSettings, given.get("training", given), f"{path}: training")


def check_folders(settings: TrainingSettings) -> None:
    """Raise InputError if a folder in the settings is missing, before a stage notices it after hours."""
    for name in filter(None, [settings.pairs, *settings.photos, *settings.linear_images]):
        if not Path(name).exists():
            raise InputError(
                f"{name}: no such folder; give one that exists for training.pairs, photos or linear_images"
            )
