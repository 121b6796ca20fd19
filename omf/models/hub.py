"""Share models through the Hugging Face hub: weights, model card and camera profile."""

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.utils import disable_progress_bars

from omf.models.checkpoints import load_networks
from omf.models.registry import Model, check_files, find_model, model_in_folder, register_model
from omf.raw.camera import load_camera, profile_path
from omf.utils.console import shows_progress
from omf.utils.errors import InputError
from omf.utils.files import sha256
from omf.utils.paths import data_folder
from omf.utils.yaml import parse_yaml

WEIGHTS = ("base.safetensors", "oe.safetensors", "noe.safetensors", "demosaic.safetensors")
CARD = ("README.md", "training.yaml", "curves.png")
PROFILE = "camera.yaml"


def push(model: Model, repository: str) -> str:
    """Upload a model in one commit; a repository that does not exist is created.

    Args:
        model: model whose weights are safetensors files.
        repository: OWNER/NAME on the hub.

    Returns:
        URL of the commit.

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


def fetch_repository(address: str, folder: Path | None = None) -> Model:
    """Download a model, check that its weights load, and list it in models.yaml under its name on the hub.

    Args:
        address: OWNER/NAME or OWNER/NAME@REVISION.
        folder: folder that contains models.yaml; `trained_models` by default.

    Returns:
        The model, as listed.

    Raises:
        InputError: the hub does not have it, it is not a model of this program, or its camera is unknown.
    """
    folder = folder or data_folder("trained_models")
    repository, _, revision = address.partition("@")
    check_repository(repository)
    target = folder / repository
    with hub_calls(repository):
        api = HfApi()
        info = api.model_info(repository, revision=revision or None)
        api.snapshot_download(
            repository,
            revision=info.sha,
            local_dir=target,
            allow_patterns=[*WEIGHTS, *CARD, PROFILE],
        )
    for name in {*WEIGHTS, PROFILE} - {file.rfilename for file in info.siblings}:
        (target / name).unlink(missing_ok=True)  # of another revision
    model = model_in_folder(target)
    oe, _, _ = load_networks(model)
    files = {Path(name).stem: target / name for name in WEIGHTS if (target / name).is_file()}
    entry = {
        "description": f"fetched from {api.endpoint}/{repository}",
        "camera": fetched_camera(model.camera, target / PROFILE),
        "widths": list(oe.widths),
        "source": f"{api.endpoint}/{repository}/tree/{info.sha}",
        "licence": (info.card_data or {}).get("license") or "",
        "files": {
            network: {
                "name": path.relative_to(folder).as_posix(),
                "bytes": path.stat().st_size,
                "sha256": sha256(path),
            }
            for network, path in files.items()
        },
    }
    register_model(repository, entry, folder)
    return find_model(repository, folder)


def check_repository(repository: str) -> None:
    """Raise InputError unless this is OWNER/NAME."""
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository):
        raise InputError(f"{repository}: not a name on the hub; give OWNER/NAME")


def fetched_camera(name: str, fetched: Path) -> str:
    """Return `name` if `cameras/` has the fetched profile under it, or the path of the fetched profile.

    Raises:
        InputError: the profile is missing or invalid.
    """
    if not fetched.is_file():
        load_camera(name)
        return name
    load_camera(str(fetched))
    path = profile_path(name)
    if path.is_file() and parse_yaml(path.read_text("utf-8")) == parse_yaml(fetched.read_text("utf-8")):
        return name
    return str(fetched.resolve())


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
