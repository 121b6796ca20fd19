# Read the configuration and define all helpers; the other files contain rules only.

import functools
import hashlib
import math
import os
import re
import shlex
import shutil
import stat
import sys
import time
from dataclasses import asdict
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

from omf.evaluation.ground_truth import list_ground_truth
from omf.io.cameras import check_camera, is_profile
from omf.io.photo_tars import list_inputs
from omf.io.photos import filter_utf8_names, group_by_stem
from omf.io.raw_formats import challenge_settings, parse_raw_format
from omf.io.maker_notes import GainReader
from omf.io.tars import TAR
from omf.models.registry import (
    check_draws_samples,
    check_files,
    check_takes_neutral,
    find_model,
)
from omf.pipeline.config import Config, check_config, restore_texts
from omf.pipeline.dependencies import fingerprint
from omf.pipeline.plan import plan_file, save_plan
from omf.pipeline.recovery import (
    check_outputs,
    find_partial_outputs,
    lock,
    remove_partial_outputs,
    set_damaged_aside,
    wait_for_lock,
)
from omf.pipeline.samples import name_samples
from omf.pipeline.shards import SHARD, assign_shards, name_tars
from omf.pipeline.uploads import check_uploads, find_lost_uploads
from omf.raw.camera import check_bayer, profile_path
from omf.raw.challenge_scenes import complete_scenes, group_by_scene
from omf.training.settings import STAGES
from omf.utils.console import configure_logging
from omf.utils.errors import InputError
from omf.utils.files import sha256
from omf.utils.machine import count_gpus
from omf.utils.paths import (
    HOME,
    MODELS,
    PACKAGE,
    check_writable,
    data_folder,
    user_folder,
)
from omf.utils.remote import is_remote, to_path, version_of
from omf.utils.written import RUN_COMMAND, begin_command

STARTED = time.time()
# As a module of another workflow, this one leaves the whole of a run to it: recovery, messages, shell settings.
IN_MODULE = workflow.modifier.namespace is not None
# Snakemake puts the prefix of a module before inputs, outputs and logs, but not before parameters.
PREFIX = workflow.modifier.path_modifier.replace_prefix("x")[:-1]
RULES = str(workflow.current_basedir)  # where this workflow's rules are, and no other's
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
SCRIPTS = ROOT / "scripts"
if not SCRIPTS.is_dir():
    # the Snakefile was fetched without its files: those of the installed program
    ROOT, SCRIPTS = PACKAGE.parent, data_folder("scripts")
IMAGE = ROOT / "containers" / "omf.sif"

RESULTS, SUBMISSION = Path(f"{PREFIX}results"), Path(f"{PREFIX}submission")

# Locks on this folder: runs hold the first until they end, their jobs the second.
RUNS, JOBS = Path(".snakemake/omf-runs.lock"), Path(".snakemake/omf-jobs.lock")

if not os.access(".", os.W_OK):
    raise WorkflowError(
        f"{Path.cwd()}: can't be written to; run where you may write, or name such a folder: --directory FOLDER"
    )


def recover():
    """Wait for the jobs of a killed run, and remove its partial outputs."""
    if not lock(RUNS):
        return  # another run is active here, and Snakemake's lock will refuse this one
    wait_for_lock(
        JOBS,
        lambda: print(
            "Waiting for the jobs that a killed run left behind.", file=sys.stderr
        ),
    )
    killed = any(Path(".snakemake/locks").glob("*"))
    shutil.rmtree(".snakemake/locks", ignore_errors=True)
    for path, aside in set_damaged_aside(
        RESULTS, SUBMISSION, raw_names(), killed
    ).items():
        print(
            f"{path}: not as it was written; kept as {aside.name}, and made again",
            file=sys.stderr,
        )
    for path in remove_partial_outputs(RESULTS, SUBMISSION):
        print(f"{path}: not whole, so it is made again", file=sys.stderr)
    for shard in find_lost_uploads(OUTPUT, RESULTS) if OUTPUT else []:
        print(
            f"{OUTPUT / shard}{TAR}: not there as it was written, so it is made again",
            file=sys.stderr,
        )
        (RESULTS / "written" / f"{shard}.json").unlink()


def raw_names():
    """Return the names of the RAW files of the entry."""
    names = [] if IN_TARS else name_samples(PHOTOS_BY_NAME, CONFIG.samples)
    return [f"{name}{AS_ASKED.suffix}" for name in names]


def check_before_jobs():
    """Stop before any job if one would remove or replace files of the user; Snakemake removes its outputs first.

    In `results/`, all is this workflow's own once it has run here. Weights to fetch need a place too.
    """
    jobs = [
        job
        for job in workflow.dag.needrun_jobs()
        if str(job.rule.basedir) == RULES and "fetch_" not in job.rule.name
    ]
    outputs = [Path(path) for job in jobs for path in job.output]
    if (RESULTS / "plan").is_dir():
        outputs = [path for path in outputs if RESULTS not in path.parents]
    else:
        outputs += [
            Path(path) for job in jobs for path in (*job.log, job.benchmark) if path
        ]
    if any(SUBMISSION in path.parents for path in outputs) and SUBMISSION.is_dir():
        names = set(raw_names())
        outputs += [path for path in SUBMISSION.iterdir() if path.name in names]
    try:
        check_outputs(outputs)
        if OUTPUT:
            shards = [job.wildcards.shard for job in jobs if job.rule.name == "mosaic"]
            check_uploads(OUTPUT, RESULTS, shards)
        for file in MODEL.files:
            if file.url and not file.path.is_file():
                check_writable(file.path.parent)
    except InputError as error:
        raise WorkflowError(str(error))


def write_plans():
    """Write the plans of all jobs and remove those of earlier runs."""
    plans = {
        plan_path(step, shard): (step, shard) for step in PLANS for shard in SHARDS
    }
    plans |= {plan_path(step): (step, None) for step in RUN_PLANS}
    for path, key in plans.items():
        save_plan(Path(path), plan_of(*key))
    for path in RESULTS.glob("plan/*/*.json"):
        if str(path) not in plans:
            path.unlink()


def recovering(execute):
    """Return `workflow.execute` with a call of `recover` before it if it is going to run jobs.

    Other steps follow once Snakemake knows which jobs these are: before its hook `onstart`, also that of an importing
    workflow.

    Snakemake reads this file for --lint, --summary and the like too, which must not change any file. Only its call
    of `execute` tells that jobs will run; its own hook, onstart, comes after it has looked at the existing files.
    """

    @functools.wraps(execute)
    def execute_recovered(*args, executor_plugin, **kwargs):
        kind = executor_plugin.common_settings
        if kind.dryrun_exec or kind.touch_exec:
            # a dry run counts as finished what a run would remove
            for path in find_partial_outputs(RESULTS, SUBMISSION):
                print(f"{path}: not whole; a run makes it again", file=sys.stderr)
            return execute(*args, executor_plugin=executor_plugin, **kwargs)
        if workflow.execution_settings.no_hooks:
            raise WorkflowError(
                "--no-hooks: a hook protects your files; leave the option out"
            )
        if not IN_MODULE:
            try:
                recover()
            except InputError as error:  # object storage can't be asked
                raise WorkflowError(str(error))
        hook = workflow._onstart

        def start(log):
            check_before_jobs()
            write_plans()
            hook(log)

        workflow._onstart = start
        return execute(*args, executor_plugin=executor_plugin, **kwargs)

    return execute_recovered


if workflow.is_main_process:
    begin_command(RUN_COMMAND)
    workflow.execute = recovering(workflow.execute)
elif workflow.remote_exec and not IN_MODULE:
    lock(JOBS)  # from the first job of a group to the last, also between two of them

if workflow.is_main_process and not IN_MODULE:
    configure_logging()
    if len([word for word in sys.argv if re.match("(--config|-C)(=|$)", word)]) > 1:
        raise WorkflowError(
            "--config is given twice, and Snakemake forgets the first; give all settings in one: --config A=1 B=2"
        )

try:
    if not IN_MODULE:
        restore_texts(config, workflow.config_settings.config_args or ())
    CONFIG = check_config(config)
    # the samples, if the run works in a folder without them
    samples = {
        key: str(ROOT / field.default)
        for key, field in Config.model_fields.items()
        if key in ("images", "ground_truth")
        and getattr(CONFIG, key) == field.default
        and not Path(field.default).exists()
    }
    CONFIG = CONFIG.model_copy(update=samples)
    MODEL = find_model(CONFIG.model)
    CAMERA = check_camera(CONFIG.camera, MODEL.camera)
    check_draws_samples(MODEL, CONFIG.samples)
    if CONFIG.neutral:
        check_takes_neutral(MODEL)
        GainReader()  # which says what is missing
    # a model with an address is fetched first
    if not any(file.url for file in MODEL.files):
        check_files(MODEL)
    for key in ("images", "ground_truth"):
        folder = getattr(CONFIG, key)
        if folder and any(
            Path(folder).resolve().is_relative_to(place.resolve())
            for place in (SUBMISSION, RESULTS)
        ):
            raise InputError(
                f"{key} is {folder}, where a run writes; give a folder outside of {SUBMISSION} and {RESULTS}"
            )
    INPUTS, MISSING = list_inputs(CONFIG.images)
    INPUTS, NAMELESS = filter_utf8_names(INPUTS)
    # their jobs list what is in them
    TARS, CLASHES = name_tars(path for path in INPUTS if path.suffix == TAR)
    PHOTOS = [path for path in INPUTS if path.suffix != TAR]
    GROUND_TRUTH = (
        list_ground_truth(Path(CONFIG.ground_truth), group_by_stem(PHOTOS))
        if CONFIG.ground_truth
        else {}
    )
    # the scored format, and the requested one if that is another
    SETTINGS = CONFIG.run_settings()
    IN_TARS = CONFIG.output_format == "webdataset"
    written = {"output_format": CONFIG.webdataset.raw} if IN_TARS else {}
    AS_SCORED = parse_raw_format(challenge_settings(SETTINGS), CAMERA)
    AS_ASKED = parse_raw_format(SETTINGS | written, CAMERA)
    if CONFIG.output_format != "demosaiced":
        check_bayer(CAMERA)
    OUTPUT = to_path(CONFIG.output) if CONFIG.output else None  # of tars
    if OUTPUT and not (IN_TARS and is_remote(OUTPUT)):
        raise InputError(
            f"output is {OUTPUT}; it takes an address in object storage, and needs output_format webdataset"
        )
except InputError as error:
    raise WorkflowError(str(error))

# By the name of the RAW file: photos that differ only in their suffix come into one shard, which reports the clash.
PHOTOS_BY_NAME = group_by_stem(PHOTOS)
SCENES = (
    complete_scenes(name for name, files in PHOTOS_BY_NAME.items() if len(files) == 1)
    if CONFIG.scenes == "auto"
    else {}
)
SHARDS = assign_shards(PHOTOS_BY_NAME, CONFIG.shard_size, SCENES)
SHARDS |= {shard: [] for shard in TARS}

# Tars hold the RAW in one format, which is scored too.
FORMATS = [AS_ASKED] if IN_TARS or AS_ASKED == AS_SCORED else [AS_SCORED, AS_ASKED]
SCORED = f"results/shards/{{shard}}{TAR}" if IN_TARS else "results/raw/{shard}"
# a missing one is made again; tars of object storage are on this disk until they are scored
WRITTEN = "results/written/{shard}.json" if OUTPUT else SCORED
RAW_FOLDERS = ["results/raw/{shard}", "results/files/{shard}"][: len(FORMATS)]
ENTRY = SCORED if IN_TARS else RAW_FOLDERS[-1]  # where the files of the entry are
ZIPPED = ENTRY == "results/raw/{shard}"
GPUS = 0 if CONFIG.device == "cpu" else 1  # of an inference job
# A cluster gets the jobs of a shard as one; if inference has a GPU, only those after it, so that none else holds one.
# Groups of a profile would start Snakemake for each of their jobs.
GROUP = None if workflow.nodes is None else "shard_{shard}"
GROUP_ON_CPUS = None if GPUS else GROUP
MACHINE_GPUS = 1  # inference jobs at the same time on this machine
if workflow.nodes is None and workflow.is_main_process:
    limits = {
        name: resource.value for name, resource in workflow.global_resources.items()
    }
    MACHINE_GPUS = max(GPUS and (limits.get("gpu") or count_gpus()), 1)
    for name in ("gpu", "inference"):
        if limits.get(name) is None:
            workflow.register_resource(name, MACHINE_GPUS)
TRAINING = CONFIG.training
RUN = f"results/training/{TRAINING.name}"

if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
    # Rules run in the image, with its Python and the code of this checkout. Snakemake makes the working folder their
    # home, which is no place for caches.
    if not IMAGE.is_file():
        raise WorkflowError(
            f"{IMAGE}: not there; build it as containers/README.md tells"
        )
    if re.search(r"\s", str(IMAGE)):
        raise WorkflowError(
            f"{IMAGE}: Snakemake takes no image from a path with a space; move this clone to one without"
        )
    FIRST = f'PYTHONPATH={shlex.quote(str(ROOT))} HOME="$PWD/.snakemake"'
else:
    # `python` in the rules is the one that runs Snakemake, even if its environment is not activated.
    FIRST = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
if not IN_MODULE:
    # Jobs take the same folder for models of the user's as this process, whatever their home is.
    FIRST += f" {HOME}={shlex.quote(str(user_folder(MODELS).parent))}"
    shell.prefix(
        f"set -euo pipefail; exec 9<>{JOBS}; flock --shared 9 || true; export {FIRST}; "
    )


wildcard_constraints:
    shard=SHARD,
    stage="|".join(STAGES),


def photos_in(shard):
    """Return the photos of a shard, or its tar."""
    return (
        [TARS[shard]]
        if shard in TARS
        else [photo for name in SHARDS[shard] for photo in PHOTOS_BY_NAME[name]]
    )


def scenes_in(shard):
    """Return the scenes of a shard, each with the names of its patches; `auto` for its job to find them in a tar."""
    if shard in TARS:
        return CONFIG.scenes if CONFIG.scenes == "auto" else {}
    scenes = group_by_scene(SHARDS[shard]) if SCENES else {}
    return {scene: SCENES[scene] for scene in scenes if scene in SCENES}


def ground_truth_in(shard):
    """Return the ground-truth files of a shard; those of a tar's photos are known to its job."""
    return [GROUND_TRUTH[name] for name in SHARDS[shard] if name in GROUND_TRUTH]


def ground_truth_folders(shard):
    """Return the folder in which the job of a tar looks for ground truth, if there is one."""
    return [Path(CONFIG.ground_truth)] if shard in TARS and GROUND_TRUTH else []


def state_of(paths):
    """Return a hash that changes with the list of files, and with each file's size and time.

    Photos and ground truth are parameters of the rules and not inputs: Snakemake checks the inputs of all ready jobs
    before it starts another, which takes hours for very many photos.
    """
    states = [(str(path), stat_of(path)) for path in paths]
    return hashlib.sha256(repr(states).encode(errors="replace")).hexdigest()


@functools.cache
def stat_of(path):
    """Return the size of a file in bytes, and its time in seconds or its ETag; zeros if it is gone.

    Of a folder, a hash of the states of its files takes the place of the time.
    """
    try:
        if is_remote(path):
            return version_of(path)
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            return 0, state_of(sorted(path.iterdir()))
        return status.st_size, int(status.st_mtime)
    except (OSError, InputError):
        return 0, 0


def weights_hashes():
    """Return the hashes of the weights in use; loading checks listed files against theirs."""
    return [file.sha256 or sha256(file.path) for file in MODEL.files]


def profile_hash():
    """Return a hash of the profiles or RAW files of the model's camera and of the one that is asked for."""
    files = [
        profile_path(name) if is_profile(name) else Path(name)
        for name in (MODEL.camera, CONFIG.camera)
    ]
    return [sha256(path) for path in files if path.is_file()]


PLANS = ("preprocess", "mosaic", "evaluate")  # steps of a shard with a plan
RUN_PLANS = ("package", "report", "settings")


def plan_of(step, shard=None):
    """Return the plan of a job: all data that it works on, and nothing else."""
    own = {"model_camera": MODEL.camera}
    run = {"shards": list(SHARDS), "model": CONFIG.model}
    match step:
        case "preprocess":
            files = {"photos": photos_in(shard), "scenes": scenes_in(shard)}
            return files | own | {"camera": CONFIG.camera, "neutral": CONFIG.neutral}
        case "mosaic":
            name = Path(MODEL.name).name
            plan = {"photos": photos_in(shard), "samples": CONFIG.samples}
            formats = [asdict(kind) for kind in FORMATS]
            photos = {"include_photos": CONFIG.webdataset.include_photos}
            tars = photos | {"output": CONFIG.output}
            return plan | {"model": name, "formats": formats} | own | tars
        case "evaluate":
            files = {"photos": photos_in(shard), "ground_truth": ground_truth_in(shard)}
            files |= {"ground_truth_folders": ground_truth_folders(shard)}
            settings = {
                "samples": CONFIG.samples,
                "white_level": AS_SCORED.white_level,
                "output": CONFIG.output,
            }
            return files | own | settings
        case "package":
            return run | {"entry": Path(ENTRY).parent.name, "zipped": ZIPPED}
        case "report":
            return run | {"config": SETTINGS, "problems": NAMELESS + MISSING + CLASHES}
        case "settings":
            return TRAINING.model_dump()


def plan_path(step, shard=None):
    """Return the path of the plan of a job, as text: Snakemake does not track parameters of other types."""
    return str(plan_file(RESULTS / "plan" / step, shard or "run", plan_of(step, shard)))


def code_of(step):
    """Return a hash of the code that decides a step's results: the step reruns when it changes.

    It is a parameter and not an input, for the same reason as `state_of`.
    """
    return fingerprint(SCRIPTS / f"{step}.py")


def minutes(wildcards, megabytes_per_second):
    """Return the time limit of a shard: for its start, and for its photos' files at this rate."""
    return math.ceil(10 + megabytes(wildcards.shard) / megabytes_per_second / 60)


@functools.cache
def megabytes(shard):
    """Return the size of the photos of a shard, as files."""
    return sum(stat_of(photo)[0] for photo in photos_in(shard)) / 1e6


@functools.cache
def photos_at_most():
    """Return the number of photos; for tars an estimate, from 100 kB for each."""
    return len(PHOTOS) + math.ceil(sum(map(megabytes, TARS)) * 10)


def per_shard(pattern):
    """Expand a pattern for every shard."""
    return expand(pattern, shard=SHARDS)


def stage_before(wildcards):
    """Return the outputs of the training stages that a stage requires."""
    return [
        f"{RUN}/{stage}.done"
        for stage in STAGES[wildcards.stage]
        if stage in TRAINING.stages
    ]


def print_summary():
    """Print the summary of this run, if it wrote one."""
    summary = SUBMISSION / "summary.txt"
    if summary.is_file() and summary.stat().st_mtime > STARTED:
        print(f"\n{summary.read_text('utf-8')}", file=sys.stderr)
