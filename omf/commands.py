"""The commands of `omf`: their docstrings are the help, with examples.

Each imports its modules when it runs, so that `omf --help` is quick.
"""

import argparse
import math
import re
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from omf.utils.console import count_of, label, log
from omf.utils.errors import InputError, printable
from omf.utils.remote import is_remote
from omf.utils.sections import AUTO
from omf.utils.written import check_replaceable, note_input


def run_predict(arguments: argparse.Namespace) -> int:
    """Reconstruct the RAW of photos: NAME.npy, uint16 (H/2, W/2, 4), RGGB.

    omf predict photo.jpg more_photos/ -o raw
    omf predict photo.jpg -o raw --format dng
    omf predict photos/ -o raw --format npz --bit-depth 12 --noise-iso 800
    """
    from omf.io.cameras import asked_camera, check_camera, find_camera, noted_neutral
    from omf.io.maker_notes import GainReader
    from omf.io.photo_tars import find_inputs
    from omf.io.raw_formats import Writer, parse_raw_format
    from omf.models.registry import check_draws_samples, check_takes_neutral, find_model
    from omf.raw.camera import check_bayer

    photos, faults = find_inputs(arguments.photos)
    model = find_model(arguments.model)
    check_draws_samples(model, arguments.samples)
    notes = nullcontext()
    if AUTO in (arguments.neutral or ()):
        check_takes_neutral(model)
        arguments.neutral, notes = None, GainReader()
    neutral = check_light(arguments, arguments.photos)
    camera, settings = check_camera(arguments.camera, model.camera), vars(arguments)
    if arguments.format != "demosaiced":
        check_bayer(camera)
    noise = {key: settings[f"noise_{key}"] for key in ("iso", "shot", "read", "seed")}
    noise = {key: value for key, value in noise.items() if value is not None}
    settings = {**settings, "output_format": arguments.format, "noise": noise}
    raw_format = parse_raw_format(settings, camera)
    given = photos
    photos, taken = split_by_target(given, arguments.out, raw_format.suffix, arguments.samples)
    if not photos:
        return conclude("", faults + taken)

    from omf.inference.load import load_method
    from omf.pipeline.predict import predict

    method, device, _ = load_method(model, arguments.device, arguments.precision, own_process=True)
    make_folder(arguments.out)
    log.debug(f"model {model.name} on {device}")
    began = time.monotonic()
    writer = Writer(arguments.out, raw_format, find_camera(model.camera), Path(model.name).name)
    others = [photo for photo in given if photo not in {*photos}] if taken else []
    with notes as gains:
        problems = taken + predict(
            photos,
            method,
            writer,
            neutral,
            arguments.exposure,
            arguments.scenes,
            others,
            arguments.samples,
            partial(asked_camera, arguments.camera, model.camera) if arguments.camera else None,
            partial(noted_neutral, gains=gains) if gains else None,
        )
    count, seconds = len(photos) + len(taken), time.monotonic() - began
    done = count - len(problems)
    return conclude(
        f"{done} of {count} photos reconstructed into {arguments.out} in {seconds:.1f} s"
        f" ({done / seconds:.2f} images/s)",
        faults + problems,
    )


def check_light(arguments: argparse.Namespace, paths: list[Path]) -> tuple[float, ...] | None:
    """Check --neutral and --exposure, and return the values of --neutral.

    Raises:
        InputError: a value is not above 0, or a third one follows --neutral, which is taken for a file.
    """
    neutral, exposure = arguments.neutral or (), arguments.exposure
    if neutral and any(re.fullmatch(r"[\d.]+", str(path)) and not path.exists() for path in paths):
        raise InputError("--neutral takes R/G and B/G of a grey in the RAW; divide R and B by G")
    for option, values in (("--neutral", neutral), ("--exposure", () if exposure is None else (exposure,))):
        if not all(0 < value < math.inf for value in values):
            raise InputError(
                f"{option} {' '.join(map(str, values))}: not above 0; give ratios as measured in RAW"
            )
    return tuple(neutral) or None


def make_folder(out: Path) -> None:
    """Make the folder for output files. Raises InputError if it can't be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{out}: no folder can be made there ({error.strerror}); give another one"
        ) from error


def split_by_target(
    photos: list[Path], out: Path, suffix: str, samples: int = 0
) -> tuple[list[Path], list[str]]:
    """Return the photos whose RAW files may be written, and a line for each other photo."""
    from omf.io.tars import tar_of
    from omf.pipeline.samples import name_samples

    for photo in photos:
        with suppress(OSError):  # told when it is read
            if not is_remote(photo):
                note_input((tar_of(photo) or photo).stat())
    free, taken = [], []
    for photo in photos:
        try:
            for name in name_samples({photo.stem: photo}, samples):
                check_replaceable(out / f"{name}{suffix}")
            free.append(photo)
        except InputError as error:
            taken.append(str(error))
    return free, taken


def run_app(arguments: argparse.Namespace) -> int:
    """Serve a page for the browser: a photo in, its RAW out.

    omf app
    omf app --host 0.0.0.0 --port 8080
    """
    from omf.app.server import launch

    launch(arguments.host, arguments.port, arguments.device)
    return 0


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Score RAW against ground truth as the challenge does, and check its consistency with the photos.

    omf evaluate raw true_raw --photos photos -o scored
    omf evaluate raw --photos photos -o scored
    """
    from omf.evaluation.ground_truth import list_ground_truth
    from omf.evaluation.scores import match_items, score_all, scores_table, summarise
    from omf.io.cameras import find_camera
    from omf.io.packed import list_packed
    from omf.io.photos import list_images, map_by_name
    from omf.io.raw_formats import CHALLENGES
    from omf.pipeline.scene_reader import find_curves_of_patches
    from omf.pipeline.submission import README

    for name in ("scores.json", "scores.csv", "scores.txt", "report.html") if arguments.out else ():
        check_replaceable(arguments.out / name)
    if not arguments.ground_truth and not arguments.photos:
        raise InputError("nothing to score against; give a folder of ground truth, or --photos, or both")
    predictions = list_packed(arguments.predictions)
    ground_truth = list_ground_truth(arguments.ground_truth, predictions) if arguments.ground_truth else {}
    photos = map_by_name(list_images(arguments.photos))[0] if arguments.photos else {}
    curves = find_curves_of_patches(photos) if arguments.scenes == "auto" else {}
    white_level = CHALLENGES[arguments.challenge].white_level
    items = match_items(predictions, ground_truth, photos, white_level, curves)
    records, problems = score_all(items, find_camera(arguments.camera), arguments.processes)
    expected, word = (ground_truth, "ground truth") if arguments.ground_truth else (photos, "photo")
    lone, extra = sorted(ground_truth.keys() - predictions), sorted(predictions.keys() - expected)
    unmatched = [
        f"{ground_truth[name]}: no prediction of that name in {arguments.predictions}" for name in lone
    ]
    unmatched += [
        f"{predictions[name]}: no {word} of that name"
        for name in extra
        if not any(problem.startswith(f"{predictions[name]}: ") for problem in problems)  # reported already
    ]
    problems = [printable(problem) for problem in problems + unmatched]  # names of files can hold anything
    scores = summarise(records)
    if arguments.out:
        from omf.report.page import write_report
        from omf.report.summary import run_summary, write_scores

        readme = arguments.predictions / README
        write_scores(scores, readme.read_text("utf-8") if readme.is_file() else None, arguments.out)
        summary = run_summary(None, arguments.camera, {"images": len(records)}, scores, problems)
        write_report(summary, scores, records, {}, arguments.out / "report.html")
    if scores["scored"]:
        print(scores_table(scores))
    if (consistency := scores["mean"]["consistency_psnr"]) is not None:
        print(f"consistency with the photos (which is not accuracy): {consistency:.2f} dB")
    place = f"; look at {arguments.out / 'report.html'}" if arguments.out else ""
    count = len(predictions.keys() | (ground_truth or photos).keys())
    return conclude(f"{len(records)} of {count} images scored{place}", problems)


def run_render(arguments: argparse.Namespace) -> int:
    """Develop RAW to a picture by a simple ISP: white balance, colour matrix, exposure, sRGB curve.

    omf render raw/photo.dng -o pictures
    omf render submission/ -o pictures --format jpg --camera samsung_s7
    """
    import numpy as np

    from omf.io.camera_raw import CAMERA_RAW_SUFFIXES, import_rawpy
    from omf.io.cameras import find_camera
    from omf.io.raw_formats import CHALLENGES
    from omf.io.render import Known, list_raw, render_all
    from omf.utils.console import progress

    paths, camera = list_raw(arguments.raw), find_camera(arguments.camera)
    if any(path.suffix.lower() in CAMERA_RAW_SUFFIXES for path in paths):
        import_rawpy()  # its absence is told once, and not for each file
    neutral = check_light(arguments, arguments.raw)
    known = Known(
        neutral=np.array([neutral[0], 1.0, neutral[1]]) if neutral else None,
        exposure=arguments.exposure,
        white_level=arguments.white_level,
        black_level=arguments.black_level,
        challenge_level=CHALLENGES[arguments.challenge].white_level,
        tone=arguments.tone == "photo",
    )
    make_folder(arguments.out)
    steps = render_all(paths, arguments.out, camera, known, f".{arguments.format}")
    problems = [line for line in progress(steps, total=len(paths), unit="image") if line]
    done = len(paths) - len(problems)
    return conclude(f"{done} of {len(paths)} RAW files rendered into {arguments.out}", problems)


def run_models_list(arguments: argparse.Namespace) -> int:
    """List the models and whether their files are here."""
    from omf.models.registry import read_models

    for name, model in read_models().items():
        here = all(file.path.is_file() for file in model.files)
        fetchable = all(file.url for file in model.files)
        state = "here" if here else f"not here; omf models fetch {name}" if fetchable else "not here"
        size = sum(file.bytes for file in model.files) / 1e6
        widths = f"widths {'-'.join(map(str, model.widths))}  {state}" if model.widths else "no weights"
        print(f"{name:<14} {size:6.1f} MB  {widths}\n    {model.description}")
    return 0


def run_models_push(arguments: argparse.Namespace) -> int:
    """Upload a model with its card and camera profile to the Hugging Face hub.

    omf models push my_camera OWNER/NAME
    """
    from omf.models.hub import push
    from omf.models.registry import find_model

    print(f"uploaded: {push(find_model(arguments.model), arguments.repository)}")
    return 0


def run_models_fetch(arguments: argparse.Namespace) -> int:
    """Download the files of a model; resumes an interrupted download.

    omf models fetch published
    omf models fetch OWNER/NAME
    """
    from omf.models.download import fetch
    from omf.models.registry import read_models

    if "/" in arguments.name:
        from omf.models.hub import fetch_repository

        model = fetch_repository(arguments.name)
        print(f"{model.oe.path.parent}: fetched and listed; use it with model={model.name}")
        return 0
    models = read_models()
    if arguments.name not in models:
        raise InputError(f"model {arguments.name}: not listed; known models: {', '.join(models)}")
    for file in models[arguments.name].files:
        fetched = fetch(file, arguments.name)
        print(f"{file.path}: {'fetched and verified' if fetched else 'here already, and the right one'}")
    return 0


def run_models_verify(arguments: argparse.Namespace) -> int:
    """Check the hashes of all files that are here."""
    from omf.models.registry import find_file_problem, read_models

    problems = []
    for name, model in read_models().items():
        for file in model.files:
            if not file.path.is_file() and file.url:
                print(f"{name}: {file.path.name} not fetched")
            elif problem := find_file_problem(file, name):
                problems.append(problem)
            else:
                print(f"{name}: {file.path.name} ok")
    return conclude("all files that are here are the listed ones" if not problems else "", problems)


def run_simulate(arguments: argparse.Namespace) -> int:
    """Simulate pairs of sRGB photo and RAW from photos as scenes.

    omf simulate photos/ -o pairs --camera huawei_p20 --count 500
    """
    from omf.io.cameras import find_camera
    from omf.io.photos import find_photos
    from omf.raw.camera import check_bayer
    from omf.training.simulate import write_pairs

    photos, camera = find_photos(arguments.photos), check_bayer(find_camera(arguments.camera))
    problems = write_pairs(photos, camera, arguments.out, arguments.count, arguments.size, arguments.seed)
    return conclude(
        f"{count_of(arguments.count - len(problems), 'pair')} in {arguments.out};"
        f" inspect them with: omf dataset {arguments.out} --sheet FILE.png",
        problems,
    )


def run_dataset(arguments: argparse.Namespace) -> int:
    """Describe a folder of photo/RAW pairs and list the pairs that can't be used.

    omf dataset pairs --sheet sheet.png
    omf dataset phone_photos --convert pairs
    """
    from omf.training.convert import conversion_table, convert_dataset
    from omf.training.datasets import check_pairs, find_pairs
    from omf.training.describe import contact_sheet, describe

    if arguments.sheet:
        check_replaceable(arguments.sheet)
    if arguments.convert:
        problems = convert_dataset(arguments.folder, arguments.convert)
        print(conversion_table(arguments.convert))
        return conclude(f"pairs for training: {arguments.convert}", problems)
    dataset = check_pairs(find_pairs(arguments.folder))
    print(describe(dataset))
    if arguments.sheet:
        contact_sheet(dataset, arguments.sheet)
    return conclude("", dataset.problems)


def run_camera(arguments: argparse.Namespace) -> int:
    """Write the profile of a camera from one of its RAW files, or by its name.

    omf camera 'NIKON D750' -o d750
    omf camera shot.dng -o my_phone.yaml
    """
    from omf.io.camera_profile import known_camera_text
    from omf.io.cameras import find_camera, is_profile
    from omf.raw.camera import load_camera, profile_path
    from omf.utils.files import save_text

    if is_profile(arguments.camera):
        raise InputError(
            f"camera {arguments.camera}: has a profile already, {profile_path(arguments.camera)}; copy it"
        )
    out = profile_target(arguments.out)
    check_replaceable(out)
    save_text(out, known_camera_text(find_camera(arguments.camera)))
    camera = load_camera(str(out))
    name = arguments.out if str(arguments.out) != str(out) else out
    return conclude(f"{out}: profile of {camera.name}; use it with --camera {name}", [])


def profile_target(out: Path) -> Path:
    """Return the file for a new profile, by a name or a path. Raises InputError if it can't be one."""
    from omf.raw.camera import own_profile_path

    if str(out) == out.stem:
        out = own_profile_path(out.stem)
    if out.suffix != ".yaml":
        raise InputError(f"{out}: give a name, or a file for the profile that ends in .yaml")
    return out


def run_calibrate(arguments: argparse.Namespace) -> int:
    """Measure a camera profile on pairs of photo and RAW.

    omf calibrate phone_photos -o my_phone
    omf predict photo.jpg -o raw --model inverse --camera my_phone
    """
    from omf.calibration.calibrate import fit_line, fit_pairs
    from omf.calibration.plots import draw_calibration
    from omf.calibration.profile import calibrated_text, make_profile
    from omf.raw.camera import load_camera
    from omf.utils.files import save_text

    out = profile_target(arguments.out)
    report = arguments.report or out.with_suffix(".png")
    for path in (out, report):
        check_replaceable(path)
    generic = replace(load_camera("generic_phone"), tone_groups=())  # the pairs tell the camera's tones
    fits, problems = fit_pairs(arguments.pairs, generic)
    if not fits:
        raise InputError(f"{arguments.pairs}: no pair can be used; the first problem is: {problems[0]}")
    for fit in fits:
        print(fit_line(fit))
    profile = make_profile(out.stem, fits, generic)
    for line in profile.open:
        print(f"open: {line}")
    save_text(out, calibrated_text(profile))
    draw_calibration(fits, load_camera(str(out)), report)
    return conclude(f"{out} from {count_of(len(fits), 'pair')}; look at {report}", problems)


def run_train(arguments: argparse.Namespace) -> int:
    """Train the networks of a model, on a dataset or on simulated pairs.

    omf train -o my_model --settings settings.yaml
    omf predict photo.jpg -o raw --model my_model
    """
    from omf.inference.devices import pick_device
    from omf.training.loop import is_first, process_group
    from omf.training.settings import TrainingSettings, read_settings
    from omf.training.train import check_run_folder, remove_other_weights, train_stage

    settings = read_settings(arguments.settings) if arguments.settings else TrainingSettings()
    check_run_folder(arguments.out)
    device = pick_device(arguments.device, own_process=True)
    with process_group(device):
        for stage in [arguments.stage] if arguments.stage else settings.stages:
            train_stage(stage, settings, arguments.out, device)
        if is_first():
            remove_other_weights(settings, arguments.out)
            log.info(f"trained; use it with: omf predict --model {arguments.out}")
    return 0


def run_selftest(arguments: argparse.Namespace) -> int:
    """Check this installation and its GPU: one line for each check.

    omf selftest --device cuda
    omf selftest --json selftest.json
    """
    from omf.selftest import SelfTest, report
    from omf.utils.files import save_json

    if arguments.json:
        check_replaceable(arguments.json)
    test, findings = SelfTest(arguments.device), []
    for finding in test.run():
        state = label(f"{finding.state:<8}") if finding.state == "failed" else f"{finding.state:<8}"
        print(f"{state}{finding.check}: {finding.detail}", flush=True)
        findings.append(finding)
    if arguments.json:
        save_json(arguments.json, report(findings, test))
    failed = sum(finding.state == "failed" for finding in findings)
    log.info(f"{len(findings)} checks, {failed} failed" + "; add --json FILE to a bug report" * bool(failed))
    return 1 if failed else 0


def run_completion(parser: argparse.ArgumentParser, shell: str) -> int:
    """Print a shell completion script for commands, options and paths.

    eval "$(omf completion bash)"    # a line for ~/.bashrc
    """
    import shtab

    for action in actions_of(parser):
        if action.type is Path:
            action.complete = shtab.FILE
    print(shtab.complete(parser, shell))
    return 0


def actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield all arguments and options of a parser and its commands."""
    for action in parser._actions:  # nothing public lists them
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from actions_of(command)


def conclude(summary: str, problems: list[str]) -> int:
    """Report problems and the summary; return the exit code."""
    for problem in problems:
        log.error(f"{label('problem:')} {problem}")
    if summary:
        log.info(summary)
    return 1 if problems else 0
