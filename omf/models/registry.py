"""Which models there are, where their files lie, and whether they are the right ones. No torch here."""

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from safetensors import SafetensorError, safe_open

from omf.utils.errors import InputError
from omf.utils.files import save_text, sha256
from omf.utils.paths import data_folder
from omf.utils.yaml import parse_yaml

# The files of a model that is given as a folder: ours, then the published names.
FOLDER_FILES = (
    {"oe": "oe.safetensors", "noe": "noe.safetensors"},
    {"oe": "final_yuv_OE_mask-220.pt", "noe": "final_yuv_OE_NOE_mask-220.pt"},
)
METHODS = ("fusion", "unprocess")
LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class WeightsFile:
    """One network's file; what is not known of it is None."""

    path: Path
    sha256: str | None = None
    bytes: int | None = None
    url: str | None = None


@dataclass(frozen=True)
class Model:
    """An OE/NOE pair of networks, or a classical method that takes their place."""

    name: str
    oe: WeightsFile | None = None
    noe: WeightsFile | None = None
    demosaic: WeightsFile | None = None  # the Demosaic Net that made the ground truth
    method: str = "fusion"  # or unprocess, which has no files
    widths: tuple[int, ...] | None = None  # channels of each level; None: told by the files
    camera: str = "samsung_s7"  # whose RAW it gives
    description: str = ""
    source: str = ""
    licence: str = ""
    extra_data: bool = True  # trained on more than the challenge's own pairs
    trained_here: bool = False  # by this checkout; another training may replace it

    @property
    def files(self) -> tuple[WeightsFile, ...]:
        return tuple(file for file in (self.oe, self.noe, self.demosaic) if file)


def read_models(folder: Path | None = None) -> dict[str, Model]:
    """The models that `trained_models/models.yaml` lists, by name."""
    folder = folder or data_folder("trained_models")
    listing = folder / "models.yaml"
    try:
        entries = parse_yaml(listing.read_text("utf-8"))
        return {name: listed_model(name, entry, folder) for name, entry in entries.items()}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{listing}: can't be read as a list of models ({reason}); compare it with the released one"
        ) from error


def listed_model(name: str, entry: dict, folder: Path) -> Model:
    """One entry of models.yaml."""
    known = {key: value for key, value in entry.items() if key not in ("files", "widths")}
    if known.get("method", "fusion") == "fusion":
        known["widths"] = tuple(entry["widths"])
        for network, file in entry["files"].items():
            if problem := entry_problem(file):
                raise InputError(f"{folder / 'models.yaml'}: {name}, {network}: {problem}")
            known[network] = WeightsFile(
                folder / file["name"], **{key: value for key, value in file.items() if key != "name"}
            )
    model = Model(name=name, **known)
    if wrong := wrong_values(model):
        raise ValueError(f"{name}: {wrong}")
    return model


def wrong_values(model: Model) -> str | None:
    """What of a listed model is not what it must be, in words; None where all is."""
    if not all(
        isinstance(text, str)
        for text in (model.name, model.camera, model.description, model.source, model.licence)
    ):
        return "name, camera, description, source and licence must be texts"
    if not all(isinstance(flag, bool) for flag in (model.extra_data, model.trained_here)):
        return "extra_data and trained_here must be true or false"
    if model.method not in METHODS:
        return f"method must be {' or '.join(METHODS)}"
    if model.method == "fusion" and not (model.oe and model.noe and model.widths):
        return "it must have widths, and files oe and noe"
    if not all(type(width) is int and width > 0 for width in model.widths or ()):
        return "widths must be whole numbers, 1 or more"
    return None


def entry_problem(file: dict) -> str | None:
    """What may not stand in models.yaml of a file, in one line; None where all is well."""
    name, url = Path(file["name"]), file.get("url")
    if name.is_absolute() or ".." in name.parts:
        return f"name {name} leads out of the folder; give one below it"
    if not re.fullmatch("[0-9a-f]{64}", str(file.get("sha256"))):
        return f"{name} has no sha256; give the 64 digits that `sha256sum` tells"
    if type(file.get("bytes")) is not int:
        return f"{name} has no bytes; give the file's size"
    if url is not None and not is_safe_address(url):
        return f"url {url} is not fetched from; give one that begins with https://"
    return None


def is_safe_address(url: str) -> bool:
    """Whether nobody on the way can change what comes: https, or a server on this machine."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "https":
            return bool(parts.hostname)
        return parts.scheme == "http" and (
            parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
        )
    except (ValueError, AttributeError):
        return False


def register_model(name: str, entry: dict, folder: Path | None = None) -> None:
    """Write an entry into models.yaml, at its end or in place of one of the same name.

    Args:
        name: of the model.
        entry: as the others in models.yaml; `trained_here` is added.
        folder: that holds models.yaml; the program's own by default.

    Raises:
        InputError: the name belongs to a model that was not trained here.
    """
    folder = folder or data_folder("trained_models")
    check_name(name, folder)
    listing = folder / "models.yaml"
    others = re.split(r"^(?=\S+:)", listing.read_text("utf-8"), flags=re.MULTILINE)
    text = "".join(block for block in others if not block.startswith(f"{name}:")).rstrip()
    save_text(
        listing, text + "\n\n" + yaml.safe_dump({name: entry | {"trained_here": True}}, sort_keys=False)
    )


def check_name(name: str, folder: Path | None = None) -> None:
    """Raise InputError unless a training may leave a model of this name."""
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise InputError(f"training.name is {name!r}; give letters, digits and underscores")
    model = read_models(folder).get(name)
    if model and not model.trained_here:
        raise InputError(f"training.name is {name}, which models.yaml lists already; give another name")


def find_model(name: str, folder: Path | None = None) -> Model:
    """A model by its name in models.yaml, or by a folder that holds an OE/NOE pair. Its camera is the one that OE's file names.

    Raises InputError where it is neither.
    """
    models = read_models(folder)
    if name in models:
        return models[name]
    given = Path(name)
    listed = {file.path.resolve(): file for model in models.values() for file in model.files}
    for names in FOLDER_FILES:
        paths = {branch: given / file for branch, file in names.items()}
        if all(os.path.isfile(path) for path in paths.values()):  # noqa: PTH113 - a name too long for a file is no file
            # a listed file keeps its listed hash, whichever way it is named
            files = {branch: listed.get(path.resolve(), WeightsFile(path)) for branch, path in paths.items()}
            return Model(name=name, camera=read_camera_name(paths["oe"]) or Model.camera, **files)
    if os.path.isdir(given):  # noqa: PTH112
        pairs = " or ".join(" + ".join(names.values()) for names in FOLDER_FILES)
        raise InputError(f"model {name}: the folder does not hold an OE/NOE pair; put {pairs} there")
    raise InputError(f"model {name}: neither in models.yaml nor a folder; known models: {', '.join(models)}")


def read_camera_name(path: Path) -> str | None:
    """The camera that the header of a weights file names; None where there is none, or it can't be read, which loading it will tell."""
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("camera")
    except (OSError, SafetensorError):
        return None


def check_files(model: Model) -> None:
    """Raise InputError unless both files are there and, where their hashes are listed, the right ones."""
    for file in model.files:
        problem = file_problem(file, model.name)
        if problem:
            raise InputError(problem)


def file_problem(file: WeightsFile, name: str) -> str | None:
    """What is wrong with one file, in one line; None where nothing is."""
    again = f"fetch it with: omf models fetch {name}" if file.url else "copy it again from where it came"
    if not file.path.is_file():
        return f"{file.path}: not there; {again}"
    with file.path.open("rb") as opened:
        start = opened.read(len(LFS_POINTER))
    if start == LFS_POINTER:
        return f"{file.path}: a Git LFS pointer, not the weights themselves; run `git lfs pull` where it came from, or {again}"
    size = file.path.stat().st_size
    if file.bytes not in (None, size):
        return f"{file.path}: {size} bytes, but models.yaml says {file.bytes}; {again}"
    if file.sha256 and sha256(file.path) != file.sha256:
        return f"{file.path}: its sha256 is not the one in models.yaml, so it is not loaded; {again}"
    return None
