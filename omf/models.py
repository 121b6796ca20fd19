"""Which models there are, where their files lie, and whether they are the right ones. No torch here."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import yaml

from omf.errors import InputError
from omf.folders import data_folder

# The files of a model that is given as a folder: ours, then the published names.
FOLDER_FILES = (
    {"oe": "oe.safetensors", "noe": "noe.safetensors"},
    {"oe": "final_yuv_OE_mask-220.pt", "noe": "final_yuv_OE_NOE_mask-220.pt"},
)
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
    """An OE/NOE pair of networks."""

    name: str
    oe: WeightsFile
    noe: WeightsFile
    widths: tuple[int, ...] | None = None  # channels of each level; None: told by the files
    camera: str = "samsung_s7"  # whose RAW it gives
    description: str = ""
    source: str = ""
    licence: str = ""
    extra_data: bool = True  # trained on more than the challenge's own pairs

    @property
    def files(self) -> tuple[WeightsFile, WeightsFile]:
        return self.oe, self.noe


def read_models(folder: Path | None = None) -> dict[str, Model]:
    """The models that `trained_models/models.yaml` lists, by name."""
    folder = folder or data_folder("trained_models")
    listing = folder / "models.yaml"
    try:
        entries = yaml.safe_load(listing.read_text())
        return {name: listed_model(name, entry, folder) for name, entry in entries.items()}
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{listing}: can't be read as a list of models ({reason}); compare it with the released one") from error


def listed_model(name: str, entry: dict, folder: Path) -> Model:
    """One entry of models.yaml."""
    known = {key: value for key, value in entry.items() if key not in ("files", "widths")}
    files = {}
    for branch in ("oe", "noe"):
        file = dict(entry["files"][branch])
        files[branch] = WeightsFile(path=folder / file.pop("name"), **file)
    return Model(name=name, widths=tuple(entry["widths"]), **files, **known)


def find_model(name: str, folder: Path | None = None) -> Model:
    """A model by its name in models.yaml, or by a folder that holds an OE/NOE pair.

    Raises InputError where it is neither.
    """
    models = read_models(folder)
    if name in models:
        return models[name]
    given = Path(name)
    listed = {file.path.resolve(): file for model in models.values() for file in model.files}
    for names in FOLDER_FILES:
        paths = {branch: given / file for branch, file in names.items()}
        if all(path.is_file() for path in paths.values()):
            # a listed file keeps its listed hash, whichever way it is named
            return Model(name=name, **{branch: listed.get(path.resolve(), WeightsFile(path)) for branch, path in paths.items()})
    if given.is_dir():
        pairs = " or ".join(" + ".join(names.values()) for names in FOLDER_FILES)
        raise InputError(f"model {name}: the folder does not hold an OE/NOE pair; put {pairs} there")
    raise InputError(f"model {name}: neither in models.yaml nor a folder; known models: {', '.join(models)}")


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


def sha256(path: Path) -> str:
    """The file's hash, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
