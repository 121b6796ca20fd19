# Reads the configuration and holds every helper; the other files hold rules only.

import functools
import hashlib
import json
import math
import os
import shlex
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

from omf.pipeline.recovery import (
    remove_partial_outputs,
    find_partial_outputs,
    lock,
    wait_for_lock,
)
from omf.raw.camera import load_camera, profile_path
from omf.pipeline.config import check_config
from omf.pipeline.dependencies import fingerprint
from omf.utils.errors import InputError
from omf.utils.files import sha256
from omf.io.raw_formats import challenge_of, raw_format
from omf.models.registry import check_files, find_model
from omf.io.photos import group_by_stem, list_images, named_in_utf8
from omf.inference.precision import current_precision
from omf.pipeline.shards import assign_shards
from omf.training.settings import as_dict, settings_from
from omf.evaluation.ground_truth import list_ground_truth

STARTED = time.time()
ROOT = Path(workflow.basedir)
SCRIPTS = ROOT / "scripts"

# Who works in this folder: runs hold the first, their jobs the second, until they end.
RUNS, JOBS = Path(".snakemake/omf-runs.lock"), Path(".snakemake/omf-jobs.lock")

if not os.access(".", os.W_OK):
    raise WorkflowError(
        f"{Path.cwd()}: can't be written to; run where you may write, or name such a folder: --directory FOLDER"
    )


def recover():
    """Remove what a killed run left half-written, so that it is made again, once no job of it is left."""
    if not lock(RUNS):
        return  # another run is alive here, and Snakemake's lock will refuse this one
    wait_for_lock(
        JOBS,
        lambda: print(
            "Waiting for the jobs that a killed run left behind.", file=sys.stderr
        ),
    )
    shutil.rmtree(".snakemake/locks", ignore_errors=True)
    for path in remove_partial_outputs(Path("results"), Path("submission")):
        print(f"{path}: not whole, so it is made again", file=sys.stderr)


def announce():
    """Name what `recover` would remove: the plan that a dry run shows takes it for done."""
    for path in find_partial_outputs(Path("results"), Path("submission")):
        print(f"{path}: not whole; a run makes it again", file=sys.stderr)


def recovering(execute):
    """Return `workflow.execute` with `recover` before it, where it is going to run jobs.

    This file is read for --lint, --summary and the like too, which must not change anything. Whether jobs will run is first known
    when Snakemake calls `execute`; its own hook, onstart, comes after it has looked at what is there.
    """

    @functools.wraps(execute)
    def execute_recovered(*args, executor_plugin, **kwargs):
        kind = executor_plugin.common_settings
        announce() if kind.dryrun_exec or kind.touch_exec else recover()
        return execute(*args, executor_plugin=executor_plugin, **kwargs)

    return execute_recovered


if workflow.is_main_process:
    workflow.execute = recovering(workflow.execute)

try:
    config = check_config(config, ROOT / "workflow" / "schemas" / "config.schema.yaml")
    config["precision"] = current_precision(config["precision"])
    MODEL = find_model(config["model"])
    # a model with an address is fetched, and checked before it is loaded
    if not any(file.url for file in MODEL.files):
        check_files(MODEL)
    for key in ("images", "ground_truth"):
        if config[key] and Path(config[key]).resolve() == Path("submission").resolve():
            raise InputError(
                f"{key} is {config[key]}, from which a run removes what is not its own; give another folder"
            )
    PHOTOS, NAMELESS = named_in_utf8(list_images(Path(config["images"])))
    TRUTHS = (
        list_ground_truth(Path(config["ground_truth"]))
        if config["ground_truth"]
        else {}
    )
    TRAINING = as_dict(settings_from(config["training"]))
    # what is scored, and what was asked for where that is another format
    AS_SCORED = raw_format(challenge_of(config), load_camera(MODEL.camera))
    AS_ASKED = raw_format(config, load_camera(MODEL.camera))
except InputError as error:
    raise WorkflowError(str(error))

# By the name that the RAW file gets: two pictures that differ in their suffix only come into one
# shard, where the clash is noticed.
PHOTOS_BY_NAME = group_by_stem(PHOTOS)
SHARDS = assign_shards(PHOTOS_BY_NAME, config["shard_size"])
if len(" ".join(SHARDS)) > 100_000:
    # Linux takes 128 KiB for one argument, which the command of `package` is for bash
    raise WorkflowError(
        f"{config['images']}: {len(PHOTOS)} photos are {len(SHARDS)} shards, more than fit on a command line;"
        " raise shard_size, or work on several folders one by one"
    )

FORMATS = [AS_SCORED] if AS_ASKED == AS_SCORED else [AS_SCORED, AS_ASKED]
GPUS = 0 if config["device"] == "cpu" else 1  # of an inference job
STAGES = ["demosaic", "noe", "oe"]  # of a training
RUN = f"results/training/{TRAINING['name']}"

if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
    # Rules run in the image, with its Python and the code of this checkout. Snakemake makes the working folder their home,
    # which is no place for caches.
    IMAGE = ROOT / "containers" / "omf.sif"
    if not IMAGE.is_file():
        raise WorkflowError(
            f"{IMAGE}: not there; build it as containers/README.md tells"
        )
    FIRST = f'PYTHONPATH={shlex.quote(str(ROOT))} HOME="$PWD/.snakemake"'
else:
    # `python` in the rules is the one that runs Snakemake, also where its environment isn't activated.
    FIRST = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
shell.prefix(
    f"set -euo pipefail; exec 9<>{JOBS}; flock --shared 9 || true; export {FIRST}; "
)


wildcard_constraints:
    shard="s[01]*",
    stage="|".join(STAGES),


def photos_in(shard):
    """The pictures of a shard."""
    return [
        as_argument(photo) for name in SHARDS[shard] for photo in PHOTOS_BY_NAME[name]
    ]


def truths_in(shard):
    """The ground-truth files that there are for a shard."""
    return [as_argument(TRUTHS[name]) for name in SHARDS[shard] if name in TRUTHS]


def as_argument(path):
    """The path, so that a command does not take it for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def state_of(paths):
    """A text that changes when one of the files does.

    Photos and ground truth are parameters of the rules, with their state, and not inputs: Snakemake looks at the inputs of
    all jobs that are ready before it starts another, which takes hours where there are very many photos.
    """
    found = [stat_of(path) for path in paths]
    return hashlib.sha256(repr((paths, found)).encode(errors="replace")).hexdigest()


@functools.cache
def stat_of(path):
    """The file's size in bytes and its time in seconds; nothing where it is gone."""
    try:
        known = os.stat(path)
        return known.st_size, int(known.st_mtime)
    except OSError:
        return 0, 0


def weights_hashes():
    """The hashes of the weights in use; a listed file is checked against its own before it is loaded."""
    return [file.sha256 or sha256(file.path) for file in MODEL.files]


def profile_hash():
    """The hash of the camera's profile."""
    return sha256(profile_path(MODEL.camera))


def code_of(step):
    """Return what changes with the code that decides a step's results, so that the step then runs again.

    A parameter and not an input, for the same reason as `state_of`.
    """
    return fingerprint(SCRIPTS / f"{step}.py")


def minutes(wildcards, megabytes_a_second):
    """What a shard may take: a start, and its photos' files at this rate."""
    return math.ceil(10 + megabytes(wildcards.shard) / megabytes_a_second / 60)


@functools.cache
def megabytes(shard):
    """The size of a shard's photos, as files."""
    return sum(stat_of(photo)[0] for photo in photos_in(shard)) / 1e6


def per_shard(pattern):
    """`pattern` for every shard."""
    return expand(pattern, shard=SHARDS)


def stage_before(wildcards):
    """What the stages before a stage of the training leave."""
    return [f"{RUN}/{stage}.done" for stage in STAGES[: STAGES.index(wildcards.stage)]]


def print_summary():
    """Show what this run did, if it went as far as the summary."""
    summary = Path("submission/summary.txt")
    if summary.is_file() and summary.stat().st_mtime > STARTED:
        print(f"\n{summary.read_text('utf-8')}", file=sys.stderr)
