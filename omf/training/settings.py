"""What a training run is. A run resumes only with the same settings."""

from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin

from omf.utils.errors import InputError
from omf.utils.yaml import parse_yaml

KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list[int]: "a list of whole numbers",
    list[str]: "a list of texts",
}


@dataclass(frozen=True)
class Steps:
    """Training steps of each network."""

    demosaic: int = 300
    noe: int = 400
    oe: int = 200  # fewer: OE starts from NOE's weights


@dataclass(frozen=True)
class Loss:
    """Weights of the parts of a branch's loss, and in which space the errors count."""

    l1: float = 1.0
    l2: float = 0.0
    ms_ssim: float = 0.0
    colour: float = 0.0  # of white-balanced RAW, clipped at white, as a RAW developer shows it
    vgg: float = 0.0  # perceptual loss; asks for torchvision's VGG16 weights
    gamma: bool = False  # errors count after the sRGB curve, where dark tones weigh more


@dataclass(frozen=True)
class Losses:
    """Of both branches, and of how they meet."""

    noe: Loss = field(default_factory=lambda: Loss(ms_ssim=0.2))
    oe: Loss = field(default_factory=lambda: Loss(ms_ssim=0.2))
    seam: float = 0.0  # in OE's loss: weight of the steps that the fusion would show along the mask's edge


@dataclass(frozen=True)
class Settings:
    """The section `training` of config.yaml, which explains each."""

    name: str = "my_model"
    pairs: str = ""
    photos: list[str] = field(default_factory=list)
    linear: list[str] = field(default_factory=list)
    leave_out: str = ""
    camera: str = "samsung_s7"
    network: str = "unet"
    widths: list[int] = field(default_factory=lambda: [8, 16, 32, 64])
    start: str = ""
    steps: Steps = field(default_factory=Steps)
    loss: Losses = field(default_factory=Losses)
    batch: int = 12
    patch: int = 120  # with the network's border of 4 a multiple of 16
    learning_rate: float = 2e-3
    warm_up: int = 50
    ema: float = 0.998
    even_brightness: bool = False
    seed: int = 0
    gpus: int = 1


def settings_from(given: dict, where: str = "training") -> Settings:
    """Settings from a mapping as config.yaml has it; what it leaves out keeps its default.

    Raises InputError for names that are not settings, and for values of another type.
    """
    return filled(Settings(), given, where)


def filled(defaults: Any, given: dict, where: str) -> Any:
    """A copy of a dataclass with the values of `given`; sections are filled in alike."""
    known = {entry.name: entry.type for entry in fields(defaults)}
    if not isinstance(given, dict):
        raise InputError(f"{where} is {given!r}; it must be a section of {', '.join(known)}")
    values = {}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"{where}: {name} is not a setting; there are: {', '.join(known)}")
        default = getattr(defaults, name)
        if not is_dataclass(default) and not fits(value, known[name]):
            raise InputError(f"{where}.{name} is {value!r}; it must be {KINDS[known[name]]}")
        values[name] = filled(default, value, f"{where}.{name}") if is_dataclass(default) else value
    return replace(defaults, **values)


def fits(value: object, kind: type) -> bool:
    """Whether a value is of a setting's type; a whole number is a number too."""
    if get_origin(kind) is list:
        return isinstance(value, list) and all(fits(entry, *get_args(kind)) for entry in value)
    return type(value) in ((int, float) if kind is float else (kind,))


def read_settings(path: Path) -> Settings:
    """Settings from a YAML or JSON file."""
    try:
        given = parse_yaml(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: can't be read as settings ({str(error).partition(chr(10))[0]}); give YAML, as in config.yaml"
        ) from error
    if not isinstance(given, dict):
        raise InputError(
            f"{path}: no settings in it; give `name: value` lines, as under `training` in config.yaml"
        )
    return settings_from(given.get("training", given), f"{path}: training")


def as_dict(settings: Settings) -> dict:
    """For files: plain types all through."""
    return asdict(settings)


def check_folders(settings: Settings) -> None:
    """Raise InputError where a folder that the settings name is not there, which a stage would notice after hours."""
    for name in filter(None, [settings.pairs, *settings.photos, *settings.linear]):
        if not Path(name).exists():
            raise InputError(
                f"{name}: no such folder; give one that is there for training.pairs, photos or linear"
            )
