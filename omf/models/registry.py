"""The listed models, the paths of their files, and checks of both. No torch here."""

import ipaddress
import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from safetensors import SafetensorError, safe_open

from omf.utils.console import warn_once
from omf.utils.errors import InputError
from omf.utils.files import locked, save_text, sha256
from omf.utils.paths import MODELS, check_writable, data_folder, user_folder
from omf.utils.yaml import parse_names, set_entry

# File names in a folder of weights, the most complete set first: ours, then the published ones
FOLDER_FILES = (
    {"base": "base.safetensors", "oe": "oe.safetensors", "noe": "noe.safetensors"},
    {"base": "base.safetensors", "oe": "oe.safetensors"},
    {"oe": "oe.safetensors", "noe": "noe.safetensors"},
    {"oe": "final_yuv_OE_mask-220.pt", "noe": "final_yuv_OE_NOE_mask-220.pt"},
)
SHIPPED, OWN = "models.yaml", "local.yaml"  # the lists of models; commands write to the second only
PROFILE = "camera.yaml"  # in a folder of weights: the camera, if it is not one in cameras/
METHODS = ("fusion", "unprocess", "inverse")
SPREAD_FILE = "spread.safetensors"  # which may lie beside a base network
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
    spread: WeightsFile | None = None  # network that tells how far the base may be off
    method: str = "fusion"  # or unprocess or inverse, which have no weights
    widths: tuple[int, ...] | None = None  # channels of each level; None: read from the files
    camera: str = "samsung_s7"  # camera of the predicted RAW
    description: str = ""
    source: str = ""
    licence: str = ""
    extra_data: bool = True  # trained on more than the challenge's pairs
    trained_here: bool = False  # may be replaced by another training

    @property
    def files(self) -> tuple[WeightsFile, ...]:
        """All weights files of the model."""
        return tuple(filter(None, (self.oe, self.noe, self.base, self.demosaic, self.spread)))


def read_models() -> dict[str, Model]:
    """Return the listed models by name, and warn of each entry that can't be used, once in a process.

    Raises:
        InputError: the shipped list is unreadable.
    """
    models, problems = merge_lists()
    for problem in problems.values():
        warn_once(str(problem))
    return models


def merge_lists() -> tuple[dict[str, Model], dict[str, InputError]]:
    """Read the shipped list of models and the user's, not replacing shipped ones; see `read_list`.

    A list of the user's that is unreadable counts as an invalid entry.
    """
    models, problems = read_list(data_folder(MODELS) / SHIPPED)
    listing = user_folder(MODELS) / OWN
    try:
        own, own_problems = read_list(listing)
    except InputError as error:
        own, own_problems = {}, {str(listing): error}
    for name in own.keys() & models.keys():
        if not belongs_to_user(models[name]):
            own_problems[name] = InputError(f"{listing}: {name}: comes with the program; rename your model")
            del own[name]
    return models | own, problems | own_problems


def belongs_to_user(model: Model) -> bool:
    """Return True for a model that was trained or fetched; lists of version 0.1.0 hold them too."""
    return model.trained_here or "/" in model.name


def read_list(listing: Path) -> tuple[dict[str, Model], dict[str, InputError]]:
    """Read {name: model} and, of invalid entries, {name: problem}; raise InputError if it is unreadable."""
    models, problems = {}, {}
    for name, entry in read_entries(listing).items():
        try:
            models[name] = parse_entry(name, entry, listing.parent)
        except InputError as error:
            problems[name] = InputError(f"{listing}: {error}; correct the entry, or remove it")
    return models, problems


def read_entries(listing: Path) -> dict[str, object]:
    """Return the entries of a list of models by name. Raises InputError if it is unreadable."""
    try:
        entries = parse_names(list_text(listing))
        if not entries and listing.name == SHIPPED:
            raise ValueError("it is empty")
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{listing}: can't be read as a list of models ({reason}); compare it with the released one"
        ) from error
    return entries


def list_text(listing: Path) -> str:
    """Return the text of a list of models, "" if it is the user's and there is none."""
    try:
        return listing.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        if listing.name == OWN:
            return ""
        raise


def parse_entry(name: str, entry: object, folder: Path) -> Model:
    """Convert an entry of a list of models, in `folder`, to a model. Raises InputError if it is invalid."""
    try:
        fields = {key: value for key, value in entry.items() if key not in ("files", "widths")}
        if fields.get("method", "fusion") == "fusion":
            fields["widths"] = tuple(entry["widths"])
            fields |= {network: parse_file(network, file, folder) for network, file in entry["files"].items()}
        model = Model(name=name, **fields)
        check_fields(model)
    except (ValueError, AttributeError, LookupError, TypeError) as error:
        missing = "no " * isinstance(error, KeyError)
        raise InputError(f"{name}: {missing}{str(error).partition(chr(10))[0]}") from error
    profile = folder / model.camera  # as fetched with the model
    is_there = profile.suffix == ".yaml" and os.path.isfile(profile)  # noqa: PTH113, since Path.is_file raises on names that are too long
    return replace(model, camera=str(profile)) if is_there else model


def check_fields(model: Model) -> None:
    """Raise ValueError if a field of a listed model is invalid."""
    for field in ("camera", "description", "source", "licence"):
        if not isinstance(value := getattr(model, field), str):
            raise ValueError(f"{field} is {value}; it must be text")
    if not all(isinstance(flag, bool) for flag in (model.extra_data, model.trained_here)):
        raise ValueError("extra_data and trained_here must be true or false")
    if model.method not in METHODS:
        raise ValueError(f"method must be {' or '.join(METHODS)}")
    if model.method == "fusion" and not (model.oe and (model.noe or model.base) and model.widths):
        raise ValueError("it must have widths, and files oe and noe, or base and oe")
    if not all(type(width) is int and width > 0 for width in model.widths or ()):
        raise ValueError("widths must be whole numbers, 1 or more")


def parse_file(network: str, file: dict, folder: Path) -> WeightsFile:
    """Convert a file of an entry. A file with a URL may lie in the user's folder: it is fetched to there.

    Raises ValueError, AttributeError, KeyError or TypeError if the file is invalid.
    """
    name, url = Path(file["name"]), file.get("url")
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"{network}: name {name} leads out of the folder; give one below it")
    if not re.fullmatch("[0-9a-f]{64}", str(file.get("sha256"))):
        raise ValueError(f"{network}: {name} has no sha256; give the 64 digits that `sha256sum` prints")
    if type(file.get("bytes")) is not int:
        raise ValueError(f"{network}: {name} has no bytes; give the file's size")
    if url is not None and not is_trusted_url(url):
        raise ValueError(f"{network}: url {url} is not trusted; give one that begins with https://")
    path = folder / name
    if url and not os.path.isfile(path):  # noqa: PTH113, as above
        path = user_folder(MODELS) / name
    return WeightsFile(path, **{key: value for key, value in file.items() if key != "name"})


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


def register_model(name: str, entry: dict) -> None:
    """Add an entry, as in models.yaml, to the user's list of models, or replace the one of the same name.

    Raises InputError if the entry is invalid, or the list is unreadable; it is left as it is.
    """
    listing = user_folder(MODELS) / OWN
    parse_entry(name, entry, listing.parent)
    with locked(listing.with_name(".lock")):
        read_entries(listing)  # which says what is wrong with it
        save_text(listing, set_entry(list_text(listing), name, entry), own=True)


def file_entry(path: Path, folder: str) -> dict:
    """Return the entry of a file that is listed as being in `folder`, relative to the list."""
    return {"name": f"{folder}/{path.name}", "bytes": path.stat().st_size, "sha256": sha256(path)}


def check_free_name(name: str) -> None:
    """Check, before hours of work, that the user can list a model under a name, or OWNER/NAME.

    Raises:
        InputError: the folder can't be written to, its list is unreadable, or the name is that of a model
            that came from elsewhere, or of its folder.
    """
    listing = user_folder(MODELS) / OWN
    check_writable(listing.parent)
    read_entries(listing)
    models, problems = merge_lists()
    if name in problems and name not in models and "/" not in name:
        raise problems[name]
    for other in models.values():
        if other.name == name and not belongs_to_user(other):
            raise InputError(f"model {name}: listed already, and not trained here; give another name")
        same_folder = other.name.partition("/")[0] == name.partition("/")[0]
        if same_folder and ("/" in other.name) != ("/" in name):
            raise InputError(f"model {name}: its folder is that of model {other.name}; give another name")
    if name not in models and any((listing.parent / name).glob("[!.]*")) and "/" not in name:
        raise InputError(f"{listing.parent / name}: holds files, but is not listed; give another name")


def find_model(name: str) -> Model:
    """Find a model by its name in either list, or by a folder that contains its weights, see `FOLDER_FILES`.

    The camera of the latter is the one in the header of the OE file.

    Raises:
        InputError: the name is neither, or its entry can't be used.
    """
    models, problems = merge_lists()
    if name in problems and name not in models:
        raise problems[name]
    for problem in problems.values():
        warn_once(str(problem))
    if name in models:
        return models[name]
    if os.path.isdir(name):  # noqa: PTH112, since Path.is_dir raises on names that are too long
        listed = {file.path.resolve(): file for model in models.values() for file in model.files}
        return model_in_folder(Path(name), listed)
    raise InputError(f"model {name}: neither listed nor a folder; known models: {', '.join(models)}")


def model_in_folder(folder: Path, listed: dict[Path, WeightsFile]) -> Model:
    """Return the model whose weights a folder contains, see `FOLDER_FILES`; `listed`: known files by path.

    Raises InputError if the folder does not contain all weights of a model.
    """
    for names in FOLDER_FILES:
        paths = {branch: folder / file for branch, file in names.items()}
        if all(path.is_file() for path in paths.values()):
            if "base" in paths and (folder / SPREAD_FILE).is_file():
                paths["spread"] = folder / SPREAD_FILE
            files = {branch: listed.get(path.resolve(), WeightsFile(path)) for branch, path in paths.items()}
            return Model(name=str(folder), camera=read_camera_name(paths["oe"]) or Model.camera, **files)
    sets = " or ".join(" + ".join(names.values()) for names in FOLDER_FILES)
    raise InputError(f"model {folder}: the folder does not hold the weights of a model; put {sets} there")


def check_takes_neutral(model: Model) -> None:
    """Raise InputError for a model that has no use for a known white balance."""
    if model.method == "unprocess" or (model.method == "fusion" and not model.base):
        raise InputError(
            f"model {model.name}: has no use for a known neutral;"
            " give inverse, or a model with a base network"
        )


def check_draws_samples(model: Model, samples: int) -> None:
    """Raise InputError for a negative number of samples, or a model that draws none."""
    if samples < 0:
        raise InputError(f"samples is {samples}; give the number of RAW for each photo, 0 or more")
    if samples and not model.spread:
        raise InputError(
            f"model {model.name}: draws no samples, since it has no spread network; set samples to 0, or give"
            " another model"
        )


def read_camera_name(path: Path) -> str | None:
    """Return the camera in the header of a weights file, or None; loading reports an unreadable file."""
    if path.suffix == ".safetensors":
        with suppress(OSError, SafetensorError), safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("camera")
    return None


def check_files(model: Model) -> None:
    """Raise InputError unless all files of a model exist and match their listed sizes and hashes."""
    for file in model.files:
        if problem := find_file_problem(file, model.name):
            raise InputError(problem)


def is_pointer(path: Path) -> bool:
    """Return True for a file of Git LFS that stands for another one."""
    with path.open("rb") as file:
        return file.read(len(LFS_POINTER)) == LFS_POINTER


def find_file_problem(file: WeightsFile, name: str) -> str | None:
    """Return what is wrong with a file of the model of a name, and the remedy, on one line, or None."""
    remedy = f"fetch it with: omf models fetch {name}" if file.url else "copy it again from where it came"
    if not file.path.is_file():
        return f"{file.path}: no such file; {remedy}"
    if is_pointer(file.path):
        return (
            f"{file.path}: a Git LFS pointer, not the weights themselves; "
            f"run `git lfs pull` where it came from, or {remedy}"
        )
    size = file.path.stat().st_size
    if file.bytes not in (None, size):
        return f"{file.path}: {size} bytes, but {file.bytes} are listed; {remedy}"
    if file.sha256 and sha256(file.path) != file.sha256:
        return f"{file.path}: its sha256 is not the listed one, so it is not loaded; {remedy}"
    return None
