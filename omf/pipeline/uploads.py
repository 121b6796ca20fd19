"""Tars in object storage: what a run wrote there, by a note of its own for each. No torch here."""

import json
from collections.abc import Iterable
from pathlib import Path

from omf.io.tars import TAR
from omf.utils.errors import InputError
from omf.utils.files import save_json
from omf.utils.remote import remote_errors, upload, version_of

UPLOADS = "uploads"  # in results/: the notes


def upload_tar(tar: Path, output: Path, results: Path) -> None:
    """Write a tar to object storage, at once or not at all.

    Args:
        results: folder of intermediate results, where the note goes.

    Raises:
        InputError: an object that no run with these results wrote is there, or the store refuses.
    """
    target, note = output / tar.name, results / UPLOADS / f"{tar.stem}.json"
    check_uploads(output, results, [tar.stem])
    facts = {"object": str(target), "bytes": tar.stat().st_size}
    save_json(note, facts | {"version": ""}, own=True)  # a run that is killed now still knows what is its own
    save_json(note, facts | {"version": upload(tar, target)}, own=True)


def check_uploads(output: Path, results: Path, shards: Iterable[str]) -> None:
    """Raise InputError if an object that no run with these results wrote has the name of a shard's tar."""
    found = stored_versions(output)
    for shard in shards:
        version = found.get(shard)
        if version and not is_noted(results / UPLOADS / f"{shard}.json", output / f"{shard}{TAR}", version):
            raise InputError(
                f"{output / f'{shard}{TAR}'}: there already, and not written by this run;"
                " remove it, or give another output"
            )


def find_lost_uploads(output: Path, results: Path) -> list[str]:
    """Return the shards with a record in `results` whose tars are not in the store as they were written."""
    shards = sorted(path.stem for path in (results / "written").glob("*.json"))
    found = stored_versions(output) if shards else {}
    notes = {shard: results / UPLOADS / f"{shard}.json" for shard in shards}
    return [
        shard
        for shard in shards
        if shard not in found or not is_noted(notes[shard], output / f"{shard}{TAR}", found[shard])
    ]


def is_noted(note: Path, target: Path, version: tuple) -> bool:
    """Return True if a note tells that a run wrote this version of an object."""
    try:
        known = json.loads(note.read_text("utf-8"))
        same = known["object"] == str(target) and known["bytes"] == version[0]
        return same and known["version"] in ("", version[1])
    except (OSError, ValueError, LookupError, TypeError):
        return False


def stored_versions(output: Path) -> dict[str, tuple]:
    """Return the versions of the tars in a folder of the store, by name without suffix."""
    with remote_errors(output):
        output.fs.invalidate_cache(output.path)
        tars = [path for path in output.iterdir() if path.suffix == TAR] if output.is_dir() else []
    return {tar.stem: version_of(tar) for tar in tars}
