"""The command `omf`. Imports what a subcommand needs when it runs, so that help comes at once."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from omf import __version__
from omf.errors import DEBUG, InputError, printable, told_in_one_line

if TYPE_CHECKING:
    from omf.formats import RawFormat

DEFAULT_MODEL = "samsung_s7"
FORMATS = ["npy", "mosaic", "npz", "png", "dng"]
CHALLENGES = ["aim2022", "ntire2025"]


@told_in_one_line
def main() -> int:
    arguments = parser().parse_args()
    if arguments.debug:
        os.environ[DEBUG] = "1"  # other processes that this one starts see it too
    return arguments.run(arguments)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="omf", description="sRGB photos in, sensor RAW out.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"omf {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run, text: str, parent=commands) -> argparse.ArgumentParser:
        added = parent.add_parser(name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        added.set_defaults(run=run)
        if run:
            added.add_argument("--debug", action="store_true", help="show where an error came from")
        return added

    predict = command("predict", run_predict, "Reconstruct the RAW of photos: NAME.npy, uint16 (H/2, W/2, 4), RGGB.")
    predict.add_argument(
        "photos", nargs="+", type=Path, metavar="PHOTO_OR_FOLDER", help="JPEG, PNG, TIFF or HEIC files, or folders of them"
    )
    predict.add_argument("-o", "--out", type=Path, required=True, help="folder for the RAW files")
    predict.add_argument("--model", default=DEFAULT_MODEL, help="a name in models.yaml, or a folder that holds an OE/NOE pair")
    add_device(predict)
    predict.add_argument("--precision", choices=["exact", "fast"], default="exact", help="fast: fewer operations, float16 on a GPU")
    predict.add_argument("--format", choices=FORMATS, default="npy", help="npy: packed, the challenge's; mosaic: NAME.npy, (H, W)")
    predict.add_argument("--challenge", choices=CHALLENGES, default="aim2022", help="whose packed format npy is")
    predict.add_argument("--bit-depth", type=int, choices=[10, 12, 14], help="of the other formats; 14 if not given")
    predict.add_argument("--white-level", type=int, help="counts for white; the most that the bits hold if not given")
    predict.add_argument("--black-level", type=int, default=0, help="counts for black")
    predict.add_argument("--cfa", choices=["RGGB", "GRBG", "GBRG", "BGGR"], default="RGGB", help="order of the colours")
    predict.add_argument("--gps", action="store_true", help="let DNG files tell the place that the photo tells")
    predict.add_argument("--noise-iso", type=float, metavar="ISO", help="add the noise of the model's camera at this sensitivity")
    predict.add_argument("--noise-shot", type=float, metavar="VARIANCE", help="add noise: variance for a signal of 1")
    predict.add_argument("--noise-read", type=float, metavar="VARIANCE", help="and for none")
    predict.add_argument("--noise-seed", type=int, help="another seed, other noise")

    evaluate = command("evaluate", run_evaluate, "Score reconstructions: against ground truth as the challenge does, and by their photos.")
    evaluate.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="folder of NAME.npy")
    evaluate.add_argument(
        "ground_truth", nargs="?", type=Path, metavar="GROUND_TRUTH", help="folder of NAME.npy, or of camera RAW, the same names"
    )
    evaluate.add_argument(
        "--photos", type=Path, help="folder of the sRGB photos: scores of baselines and of overexposed pixels, consistency"
    )
    evaluate.add_argument("--camera", default="samsung_s7", help="whose RAW it is")
    evaluate.add_argument("--challenge", choices=CHALLENGES, default="aim2022", help="whose packed format it is")
    evaluate.add_argument(
        "-o", "--out", type=Path, metavar="FOLDER", help="leave scores.json, scores.csv, scores.txt and report.html there"
    )
    evaluate.add_argument("--processes", type=int, default=os.cpu_count(), help="at once")

    models = command("models", None, "List, fetch and verify weights.").add_subparsers(metavar="COMMAND", required=True)
    command("list", run_models_list, "List the models and whether their files are here.", models)
    fetch = command("fetch", run_models_fetch, "Download a model's files; goes on where an earlier call was cut off.", models)
    fetch.add_argument("name", metavar="NAME", help="a name in models.yaml")
    command("verify", run_models_verify, "Check the hashes of all files that are here.", models)

    simulate = command("simulate", run_simulate, "Take photos as scenes, and simulate a camera's picture of each and its RAW.")
    simulate.add_argument("photos", nargs="*", type=Path, metavar="PHOTO_OR_FOLDER", help="to take scenes from; none: drawn scenes")
    simulate.add_argument("-o", "--out", type=Path, required=True, help="folder for the pairs: NUMBER.png and NUMBER.npy")
    simulate.add_argument("--camera", default="samsung_s7", help="a profile in cameras/")
    simulate.add_argument("--count", type=int, default=100, help="number of pairs")
    simulate.add_argument("--size", type=int, default=504, help="their height and width in pixels, even")
    simulate.add_argument("--seed", type=int, default=0, help="the same seed gives the same pairs")

    dataset = command("dataset", run_dataset, "Look at a folder of photo/RAW pairs: what is there, and what can't be used.")
    dataset.add_argument("folder", type=Path, metavar="FOLDER", help="pairs in the layout of AIM, of NTIRE, or camera RAW + JPEG")
    dataset.add_argument("--sheet", type=Path, metavar="FILE", help="write a contact sheet there, PNG")
    dataset.add_argument("--convert", type=Path, metavar="OUT", help="cut camera RAW + JPEG into training pairs there")

    train = command("train", run_train, "Train a Demosaic Net and an OE/NOE pair on a dataset or on simulated pairs.")
    train.add_argument("out", type=Path, metavar="OUT", help="folder for the model; a run that was cut off goes on from there")
    train.add_argument("--settings", type=Path, metavar="FILE", help="YAML, as the section `training` of config.yaml")
    train.add_argument("--stage", choices=["demosaic", "noe", "oe"], help="train this network only")
    add_device(train)
    return parser


def add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto takes a GPU if there is one")


def run_predict(arguments: argparse.Namespace) -> int:
    from omf.camera import load_camera
    from omf.formats import RawFormat, Writer, raw_format
    from omf.images import gather
    from omf.models import check_files, find_model

    photos = gather(arguments.photos)
    model = find_model(arguments.model)
    noise = {key: value for key in ("iso", "shot", "read", "seed") if (value := getattr(arguments, f"noise_{key}")) is not None}
    camera = load_camera(model.camera)
    of = raw_format({**vars(arguments), "output_format": arguments.format, "noise": noise}, camera)
    check_files(model)  # before torch, which takes its time to load
    make_folder(arguments.out, photos, of)

    from omf.methods import load_method
    from omf.predict import predict

    method, _, _ = load_method(model, arguments.device, arguments.precision)
    writer = None if of == RawFormat() else partial(Writer, arguments.out, of, camera, Path(model.name).name)
    problems = predict(photos, arguments.out, method, writer)
    return conclude(f"{len(photos) - len(problems)} of {len(photos)} photos reconstructed into {arguments.out}", problems)


def make_folder(out: Path, photos: list[Path], of: "RawFormat") -> None:
    """Make the folder for RAW files. Raises InputError where that can't be, or where they would overwrite pictures."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: no folder can be made there ({error.strerror}); give another one for the RAW files") from error
    if of.suffix in (".png", ".dng") and any(out.samefile(photo.parent) for photo in photos if photo.parent.is_dir()):
        raise InputError(f"{out}: the photos lie there, and {of.kind} files might take the place of pictures; give another folder")


def run_evaluate(arguments: argparse.Namespace) -> int:
    from omf import formats
    from omf.camera import load_camera
    from omf.challenge import README, list_packed
    from omf.evaluate import candidates, examine_all, scores_table, summarise
    from omf.images import list_images
    from omf.stages import by_name
    from omf.truths import list_truths

    if not arguments.ground_truth and not arguments.photos:
        raise InputError("nothing to judge by; give a folder of ground truth, or --photos, or both")
    predictions = list_packed(arguments.predictions)
    truths = list_truths(arguments.ground_truth) if arguments.ground_truth else {}
    photos = by_name(list_images(arguments.photos))[0] if arguments.photos else {}
    white_level = formats.CHALLENGES[arguments.challenge].white_level
    records, problems = examine_all(
        candidates(predictions, truths, photos, white_level), load_camera(arguments.camera), arguments.processes
    )
    problems += [f"{truths[name]}: no prediction of that name in {arguments.predictions}" for name in sorted(truths.keys() - predictions)]
    if arguments.ground_truth:
        problems += [f"{predictions[name]}: no ground truth of that name" for name in sorted(predictions.keys() - truths)]
    else:
        problems += [f"{predictions[name]}: no photo of that name" for name in sorted(predictions.keys() - photos)]
    problems = [printable(problem) for problem in problems]  # names of files can hold anything
    scores = summarise(records)
    if arguments.out:
        from omf.report import write_report
        from omf.summary import run_summary, write_scores

        readme = arguments.predictions / README
        write_scores(scores, readme.read_text("utf-8") if readme.is_file() else None, arguments.out)
        summary = run_summary(None, arguments.camera, {"images": len(records)}, scores, problems)
        write_report(summary, scores, records, {}, arguments.out / "report.html")
    if scores["scored"]:
        print(scores_table(scores))
    if scores["mean"]["consistency_psnr"] is not None:
        print(f"consistency with the photos (which is not accuracy): {scores['mean']['consistency_psnr']:.2f} dB")
    place = f"; look at {arguments.out / 'report.html'}" if arguments.out else ""
    return conclude(f"{len(records)} of {len(truths or photos)} images scored{place}", problems)


def run_models_list(arguments: argparse.Namespace) -> int:
    from omf.models import read_models

    for name, model in read_models().items():
        here = all(file.path.is_file() for file in model.files)
        fetchable = all(file.url for file in model.files)
        state = "here" if here else f"not here; omf models fetch {name}" if fetchable else "not here"
        size = sum(file.bytes for file in model.files) / 1e6
        widths = f"widths {'-'.join(map(str, model.widths))}  {state}" if model.widths else "no weights"
        print(f"{name:<14} {size:6.1f} MB  {widths}\n    {model.description}")
    return 0


def run_models_fetch(arguments: argparse.Namespace) -> int:
    from omf.download import fetch
    from omf.models import read_models

    models = read_models()
    if arguments.name not in models:
        raise InputError(f"model {arguments.name}: not in models.yaml; known models: {', '.join(models)}")
    for file in models[arguments.name].files:
        fetched = fetch(file, arguments.name)
        print(f"{file.path}: {'fetched and verified' if fetched else 'here already, and the right one'}")
    return 0


def run_models_verify(arguments: argparse.Namespace) -> int:
    from omf.models import file_problem, read_models

    problems = []
    for name, model in read_models().items():
        for file in model.files:
            if not file.path.is_file() and file.url:
                print(f"{name}: {file.path.name} not fetched")
            elif problem := file_problem(file, name):
                problems.append(problem)
            else:
                print(f"{name}: {file.path.name} ok")
    return conclude("all files that are here are the listed ones" if not problems else "", problems)


def run_simulate(arguments: argparse.Namespace) -> int:
    from omf.camera import load_camera
    from omf.images import gather
    from omf.training.simulate import write_pairs

    photos, camera = gather(arguments.photos), load_camera(arguments.camera)
    write_pairs(photos, camera, arguments.out, arguments.count, arguments.size, arguments.seed)
    return conclude(f"{arguments.count} pairs in {arguments.out}; look at them with: omf dataset {arguments.out} --sheet FILE.png", [])


def run_dataset(arguments: argparse.Namespace) -> int:
    from omf.training.convert import conversion_table, convert
    from omf.training.datasets import check_pairs, find_pairs
    from omf.training.overview import contact_sheet, describe

    if arguments.convert:
        problems = convert(arguments.folder, arguments.convert)
        print(conversion_table(arguments.convert))
        return conclude(f"pairs for training: {arguments.convert}", problems)
    dataset = check_pairs(find_pairs(arguments.folder))
    print(describe(dataset))
    if arguments.sheet:
        contact_sheet(dataset, arguments.sheet)
    return conclude("", dataset.problems)


def run_train(arguments: argparse.Namespace) -> int:
    from omf.devices import pick_device
    from omf.training.loop import start_processes
    from omf.training.settings import Settings, read_settings
    from omf.training.stages import STAGES, train_stage

    settings = read_settings(arguments.settings) if arguments.settings else Settings()
    start_processes()
    device = pick_device(arguments.device)
    for stage in [arguments.stage] if arguments.stage else STAGES:
        train_stage(stage, settings, arguments.out, device)
    return conclude(f"trained; use it with: omf predict --model {arguments.out}", [])


def conclude(summary: str, problems: list[str]) -> int:
    """Say what was done and what was not; the exit code."""
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    if summary:
        print(summary, file=sys.stderr)
    return 1 if problems else 0
