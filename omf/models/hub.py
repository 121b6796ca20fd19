"""Share models through the Hugging Face hub: weights, model card and camera profile."""

import http.client
import itertools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, ModelInfo
from huggingface_hub.utils import disable_progress_bars

from omf.models.checkpoints import load_demosaic_net, load_networks
from omf.models.registry import (
    PROFILE,
    Model,
    check_files,
    check_free_name,
    file_entry,
    find_model,
    model_in_folder,
    parse_entry,
    register_model,
)
from omf.raw.camera import load_camera, profile_path
from omf.utils.console import shows_progress
from omf.utils.errors import InputError
from omf.utils.files import locked, sync
from omf.utils.paths import MODELS, user_folder
from omf.utils.yaml import parse_yaml

WEIGHTS = tuple(f"{network}.safetensors" for network in ("base", "oe", "noe", "demosaic", "spread"))
CARD = ("README.md", "training.yaml", "curves.png")
FETCHED = (*WEIGHTS, *CARD, PROFILE)
COMMIT = "[0-9a-f]{40}"


def push(model: Model, repository: str) -> str:
    """Upload a model to OWNER/NAME, which is created if it does not exist; return the URL of the commit.

    Raises:
        InputError: the model has no safetensors files, they are not the listed ones, or the hub refuses.
    """
    check_repository(repository)
    if not model.files or any(file.path.suffix != ".safetensors" for file in model.files):
        raise InputError(f"model {model.name}: has no weights in safetensors files, which push uploads")
    check_files(model)
    load_camera(model.camera)
    folder = model.files[0].path.parent
    paths = {file.path.name: file.path for file in model.files}
    paths |= {name: folder / name for name in CARD if (folder / name).is_file()}
    paths[PROFILE] = profile_path(model.camera)
    with hub_calls(repository):
        api = HfApi()
        api.create_repo(repository, exist_ok=True)
        operations = [CommitOperationAdd(name, path) for name, path in paths.items()]
        message = f"Upload {Path(model.name).name}"
        return api.create_commit(repository, operations, commit_message=message).commit_url


def fetch_repository(address: str) -> Model:
    """Download a model, check that its weights load, and list it under its name on the hub.

    Each revision has a folder of its own, which appears there whole; the change of the list is the moment
    from which on it is used in place of the former one. A download that was stopped resumes. The address is
    OWNER/NAME or OWNER/NAME@REVISION.

    Raises:
        InputError: the user's folder can't be written to, the hub does not have the model, it is not one of
            this program, or its camera is unknown. A model that was fetched before stays as it is.
    """
    repository, _, revision = address.partition("@")
    check_repository(repository)
    check_free_name(repository)
    target = user_folder(MODELS) / repository
    with hub_calls(repository):
        api = HfApi()
        info = api.model_info(repository, revision=revision or None)
    if not re.fullmatch(COMMIT, info.sha or ""):
        raise InputError(f"{repository}: the hub names no commit of it; try again")
    with locked(target / ".lock"):
        staging = download_revision(api, info, target)
        folder = free_folder(target / info.sha)
        entry = describe_download(api.endpoint, info, staging, f"{repository}/{folder.name}")
        for file in staging.iterdir():
            sync(file)
        staging.rename(folder)
        register_model(repository, entry)
        remove_revisions(target, folder)
    return find_model(repository)


def download_revision(api: HfApi, info: ModelInfo, target: Path) -> Path:
    """Download the files of a revision to a hidden folder in `target`, and return that; resumes."""
    staging = target / f".{info.sha}.part"
    for other in set(target.glob(".*.part")) - {staging}:
        shutil.rmtree(other, ignore_errors=True)
    with hub_calls(info.id):
        api.snapshot_download(info.id, revision=info.sha, local_dir=staging, allow_patterns=list(FETCHED))
    return staging


def describe_download(endpoint: str, info: ModelInfo, staging: Path, listed: str) -> dict:
    """Load the model in `staging` and return its entry for the list, or remove it if it can't be used.

    `listed` is the folder that will contain the files, relative to the list.

    Raises:
        InputError: it is not a model of this program, its camera is unknown, or its card is invalid.
    """
    try:
        model = model_in_folder(staging, {})
        oe, *_ = load_networks(model)
        files = [staging / name for name in WEIGHTS if (staging / name).is_file()]
        if (demosaic := staging / "demosaic.safetensors") in files:
            load_demosaic_net(demosaic)
        entry = {
            "camera": fetched_camera(model.camera, staging / PROFILE, f"{listed}/{PROFILE}"),
            "widths": list(oe.widths),
            "files": {path.stem: file_entry(path, listed) for path in files},
            "description": f"fetched from {endpoint}/{info.id}",
            "source": f"{endpoint}/{info.id}/tree/{info.sha}",
            "licence": licence_text((info.card_data or {}).get("license")),
        }
        parse_entry(info.id, entry, staging)
    except InputError as error:
        shutil.rmtree(staging)
        reason = str(error).replace(f"{staging}/", "").replace(str(staging), info.id)
        raise InputError(f"{info.id}: not used, since {reason}") from error
    shutil.rmtree(staging / ".cache", ignore_errors=True)  # huggingface_hub's notes
    return entry


def licence_text(licence: object) -> object:
    """Return the licence of a model card as text, several ones joined; other values are returned as is."""
    if isinstance(licence, list) and all(isinstance(part, str) for part in licence):
        return ", ".join(licence)
    return "" if licence is None else licence


def free_folder(folder: Path) -> Path:
    """Return a folder, or with a number after its name if it exists: of a revision that is fetched again."""
    names = itertools.chain([folder.name], (f"{folder.name}-{number}" for number in itertools.count(1)))
    return next(path for path in map(folder.with_name, names) if not path.exists())


def remove_revisions(target: Path, current: Path) -> None:
    """Remove the files of all revisions but the current one; files of the user's stay."""
    for folder in target.iterdir():
        if re.fullmatch(rf"{COMMIT}(-\d+)?", folder.name) and folder != current:
            for name in FETCHED:
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # there are other files
                folder.rmdir()


def check_repository(repository: str) -> None:
    """Raise InputError unless this is OWNER/NAME."""
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository):
        raise InputError(f"{repository}: not a name on the hub; give OWNER/NAME")


def fetched_camera(name: str, fetched: Path, listed: str) -> str:
    """Return `name` if a profile of that name is as the fetched one, else the latter's path, `listed`."""
    if not fetched.is_file():
        load_camera(name)
        return name
    load_camera(str(fetched))
    path = profile_path(name)
    same = path.is_file() and parse_yaml(path.read_text("utf-8")) == parse_yaml(fetched.read_text("utf-8"))
    return name if same else listed


@contextmanager
def hub_calls(repository: str) -> Iterator[None]:
    """Show bars as elsewhere, and raise as InputError what huggingface_hub and its HTTP library raise."""
    if not shows_progress():
        disable_progress_bars()
    try:
        yield
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is None:
            raise InputError(f"{repository}: {' '.join(str(error).split())}") from error
        answer = f"{status} {http.client.responses.get(status, '')}".strip()
        login = "check the name, or log in: `hf auth login`, or set HF_TOKEN"
        remedy = login if status < 500 else "try again"
        raise InputError(f"{repository}: the hub answers {answer}; {remedy}") from error
