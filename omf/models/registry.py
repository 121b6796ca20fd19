"""The listed models, the paths of their files, and checks of both. No torch here."""

import ipaddress
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from safetensors import SafetensorError, safe_open

from omf.utils.errors import InputError
from omf.utils.files import save_text, sha256
from omf.utils.paths import data_folder
from omf.utils.yaml import parse_yaml

# File names in a folder of weights, the most complete set first: ours, then the published ones
FOLDER_FILES = (
    {"base": "base.safetensors", "oe": "oe.safetensors", "noe": "noe.safetensors"},
    {"base": "base.safetensors", "oe": "oe.safetensors"},
    {"oe": "oe.safetensors", "noe": "noe.safetensors"},
    {"oe": "final_yuv_OE_mask-220.pt", "noe": "final_yuv_OE_NOE_mask-220.pt"},
)
METHODS = ("fusion", "unprocess", "inverse")
LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class WeightsFile:
    """Weights file of one network; unknown properties are None."""

    path: Path
    sha256: str | None = None
    bytes: int | None = None
    url: str | None = None


@dataclass(frozen=True)
class Model:
    """The networks of a model, or a classical method in their place."""

    name: str
    oe: WeightsFile | None = None
    noe: WeightsFile | None = None  # may be missing if there is a base network
    base: WeightsFile | None = None  # network that sees the whole photo; None: the published method
    demosaic: WeightsFile | None = None  # Demosaic Net that produced the ground truth
    method: str = "fusion"  # or unprocess or inverse, which have no weights
    widths: tuple[int, ...] | None = None  # channels of each level; None: read from the files
    camera: str = "samsung_s7"  # camera of the predicted RAW
    description: str = ""
    source: str = ""
    licence: str = ""
    extra_data: bool = True  # trained on more than the challenge's pairs
    trained_here: bool = False  # in this checkout; may be replaced by another training

    @property
    def files(self) -> tuple[WeightsFile, ...]:
        """All weights files of the model."""
        return tuple(file for file in (self.oe, self.noe, self.base, self.demosaic) if file)


def read_models(folder: Path | None = None) -> dict[str, Model]:
    """Read the list of models.

    Args:
        folder: folder that contains models.yaml; `trained_models` by default.

    Returns:
        {name: model}.

    Raises:
        InputError: the list is unreadable, or an entry is invalid.
    """
    folder = folder or data_folder("trained_models")
    listing = folder / "models.yaml"
    try:
        entries = parse_yaml(listing.read_text("utf-8"))
        return {name: parse_entry(name, entry, folder) for name, entry in entries.items()}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{listing}: can't be read as a list of models ({reason}); compare it with the released one"
        ) from error


def parse_entry(name: str, entry: dict, folder: Path) -> Model:
    """Convert an entry of models.yaml to a model.

    Raises:
        InputError: a file entry is invalid.
        ValueError, KeyError, TypeError or AttributeError: another field is invalid.
    """
    fields = {key: value for key, value in entry.items() if key not in ("files", "widths")}
    if fields.get("method", "fusion") == "fusion":
        fields["widths"] = tuple(entry["widths"])
        for network, file in entry["files"].items():
            if problem := find_invalid_file_entry(file):
                raise InputError(f"{folder / 'models.yaml'}: {name}, {network}: {problem}")
            fields[network] = WeightsFile(
                folder / file["name"], **{key: value for key, value in file.items() if key != "name"}
            )
    model = Model(name=name, **fields)
    if problem := find_invalid_field(model):
        raise ValueError(f"{name}: {problem}")
    return model


def find_invalid_field(model: Model) -> str | None:
    """Return what is invalid about a models.yaml entry, or None."""
    if not all(
        isinstance(text, str)
        for text in (model.name, model.camera, model.description, model.source, model.licence)
    ):
        return "name, camera, description, source and licence must be text"
    if not all(isinstance(flag, bool) for flag in (model.extra_data, model.trained_here)):
        return "extra_data and trained_here must be true or false"
    if model.method not in METHODS:
        return f"method must be {' or '.join(METHODS)}"
    if model.method == "fusion" and not (model.oe and (model.noe or model.base) and model.widths):
        return "it must have widths, and files oe and noe, or base and oe"
    if not all(type(width) is int and width > 0 for width in model.widths or ()):
        return "widths must be whole numbers, 1 or more"
    return None


def find_invalid_file_entry(file: dict) -> str | None:
    """Return what is invalid about a file in a models.yaml entry, on one line, or None."""
    name, url = Path(file["name"]), file.get("url")
    if name.is_absolute() or ".." in name.parts:
        return f"name {name} leads out of the folder; give one below it"
    if not re.fullmatch("[0-9a-f]{64}", str(file.get("sha256"))):
        return f"{name} has no sha256; give the 64 digits that `sha256sum` prints"
    if type(file.get("bytes")) is not int:
        return f"{name} has no bytes; give the file's size"
    if url is not None and not is_trusted_url(url):
        return f"url {url} is not trusted; give one that begins with https://"
    return None


def is_trusted_url(url: str) -> bool:
    """Return True if nobody can tamper with the transfer: https, or a server on this machine."""
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
    """Add an entry to models.yaml, or replace the one of the same name.

    Args:
        name: name of the model.
        entry: fields as in models.yaml.
        folder: folder that contains models.yaml; `trained_models` by default.
    """
    folder = folder or data_folder("trained_models")
    listing = folder / "models.yaml"
    others = re.split(r"^(?=\S+:)", listing.read_text("utf-8"), flags=re.MULTILINE)
    text = "".join(block for block in others if not block.startswith(f"{name}:")).rstrip()
    save_text(listing, text + "\n\n" + yaml.safe_dump({name: entry}, sort_keys=False))


def check_name(name: str, folder: Path | None = None) -> None:
    """Raise InputError unless a training may register a model under this name."""
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise InputError(f"training.name is {name!r}; give letters, digits and underscores")
    model = read_models(folder).get(name)
    if model and not model.trained_here:
        raise InputError(f"training.name is {name}, which models.yaml lists already; give another name")


def find_model(name: str, folder: Path | None = None) -> Model:
    """Find a model.

    Args:
        name: name in models.yaml, or a folder that contains weights, see `FOLDER_FILES`. Their camera is the
            one in the header of the OE file.
        folder: folder that contains models.yaml; `trained_models` by default.

    Raises:
        InputError: the name is neither.
    """
    models = read_models(folder)
    if name in models:
        return models[name]
    if os.path.isdir(name):  # noqa: PTH112, since Path.is_dir raises on names that are too long
        listed = {file.path.resolve(): file for model in models.values() for file in model.files}
        return model_in_folder(Path(name), listed)
    raise InputError(f"model {name}: neither in models.yaml nor a folder; known models: {', '.join(models)}")


def model_in_folder(folder: Path, listed: dict[Path, WeightsFile] | None = None) -> Model:
    """Return the model whose weights a folder contains, see `FOLDER_FILES`.

    Args:
        folder: folder with weights.
        listed: files of models.yaml by path.

    Raises:
        InputError: the folder does not contain all weights of a model.
    """
    for names in FOLDER_FILES:
        paths = {branch: folder / file for branch, file in names.items()}
        if all(path.is_file() for path in paths.values()):
            files = {
                branch: (listed or {}).get(path.resolve(), WeightsFile(path))
                for branch, path in paths.items()
            }
            return Model(name=str(folder), camera=read_camera_name(paths["oe"]) or Model.camera, **files)
    sets = " or ".join(" + ".join(names.values()) for names in FOLDER_FILES)
    raise InputError(f"model {folder}: the folder does not hold the weights of a model; put {sets} there")


def with_camera(model: Model, camera: str) -> Model:
    """Return a model for another camera: a profile in cameras/, or a YAML file; empty: the model's own.

    Raises InputError for networks, which predict the RAW of the camera that they were trained for.
    """
    if not camera:
        return model
    if model.method == "fusion":
        raise InputError(
            f"model {model.name}: its networks predict the RAW of {model.camera};"
            " camera applies to unprocess and inverse"
        )
    return replace(model, camera=camera)


def read_camera_name(path: Path) -> str | None:
    """Return the camera in the header of a weights file, or None.

    An unreadable file also gives None; loading it reports the error.
    """
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("camera")
    except (OSError, SafetensorError):
        return None


def check_files(model: Model) -> None:
    """Raise InputError unless all files of a model exist and match their listed sizes and hashes."""
    for file in model.files:
        problem = find_file_problem(file, model.name)
        if problem:
            raise InputError(problem)


def find_file_problem(file: WeightsFile, name: str) -> str | None:
    """Return what is wrong with a weights file, and the remedy, on one line, or None.

    Args:
        file: file to check.
        name: name of the model, for the remedy.
    """
    remedy = f"fetch it with: omf models fetch {name}" if file.url else "copy it again from where it came"
    if not file.path.is_file():
        return f"{file.path}: no such file; {remedy}"
    with file.path.open("rb") as opened:
        start = opened.read(len(LFS_POINTER))
    if start == LFS_POINTER:
        return (
            f"{file.path}: a Git LFS pointer, not the weights themselves; "
            f"run `git lfs pull` where it came from, or {remedy}"
        )
    size = file.path.stat().st_size
    if file.bytes not in (None, size):
        return f"{file.path}: {size} bytes, but models.yaml says {file.bytes}; {remedy}"
    if file.sha256 and sha256(file.path) != file.sha256:
        return f"{file.path}: its sha256 is not the one in models.yaml, so it is not loaded; {remedy}"
    return None
