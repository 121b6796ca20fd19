"""The command line of `omf`: commands and options. `omf.commands` runs them."""

import argparse
import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin

from omf import commands
from omf.pipeline.config import Config, NoiseSettings
from omf.training.settings import STAGES
from omf.utils.console import configure_logging
from omf.utils.errors import DEBUG, cli_entry_point
from omf.utils.machine import available_cores
from omf.utils.sections import Section
from omf.utils.version import VERSION
from omf.utils.written import begin_command

SHELLS = ["bash", "zsh", "tcsh"]

EXIT_CODES = """exit codes:
  0  success
  1  some input could not be used and is listed; the rest is done
  2  invalid command line"""


@cli_entry_point
def main() -> int:
    arguments = parser().parse_args()
    if arguments.debug:
        os.environ[DEBUG] = "1"  # child processes inherit it
    configure_logging(
        logging.WARNING if arguments.quiet else logging.DEBUG if arguments.verbose else logging.INFO
    )
    begin_command(arguments.run.__name__)
    return arguments.run(arguments)


class Help(argparse.RawDescriptionHelpFormatter):
    """Help that shows defaults and keeps the lines of examples."""

    def _get_help_string(self, action: argparse.Action) -> str:
        shown = action.default not in (None, False, argparse.SUPPRESS)
        return f"{action.help} (default: %(default)s)" if shown else action.help


def add_command(
    parent, name: str, run: Callable[[argparse.Namespace], int], text: str, *examples: str
) -> argparse.ArgumentParser:
    """Add a command with its help and the options that all commands share."""
    epilog = "\n  ".join(["examples:", *examples]) if examples else None
    command = parent.add_parser(name, help=text, description=text, epilog=epilog, formatter_class=Help)
    command.set_defaults(run=run)
    verbosity = command.add_mutually_exclusive_group()
    verbosity.add_argument("-q", "--quiet", action="store_true", help="print problems only")
    verbosity.add_argument(
        "-v", "--verbose", action="store_true", help="print a line for each image instead of the bar"
    )
    command.add_argument("--debug", action="store_true", help="print tracebacks")
    return command


def add_setting(parent, option: str, section: type[Section], name: str, **other: object) -> None:
    """Add an option that has the values, the default and the description of a setting."""
    field = section.model_fields[name]
    kinds = (
        get_args(field.annotation)
        if get_origin(field.annotation) in (Union, UnionType)
        else (field.annotation,)
    )
    kind = next(kind for kind in kinds if kind is not type(None))
    values = get_args(kind) if get_origin(kind) is Literal else ()
    description = (field.description or "").rstrip(".")
    options = {
        "type": type(values[0]) if values else kind,
        "default": field.default,
        "choices": values or None,
        "help": description[0].lower() + description[1:] if description[1:2].islower() else description,
    }
    parent.add_argument(option, **options | other)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="omf",
        description="sRGB photos in, sensor RAW out.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"omf {VERSION}")
    parents = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        *(add_predict, add_evaluate, add_render, add_models, add_simulate),
        *(add_dataset, add_calibrate, add_train, add_selftest, add_completion),
    ):
        add(parents)
    return parser


def add_predict(parents) -> None:
    predict = add_command(
        parents,
        "predict",
        commands.run_predict,
        "Reconstruct the RAW of photos: NAME.npy, uint16 (H/2, W/2, 4), RGGB.",
        "omf predict photo.jpg more_photos/ -o raw",
        "omf predict photo.jpg -o raw --format dng",
        "omf predict photos/ -o raw --format npz --bit-depth 12 --noise-iso 800",
    )
    predict.add_argument(
        "photos",
        nargs="+",
        type=Path,
        metavar="PHOTO_OR_FOLDER",
        help="JPEG, PNG, TIFF, WebP, AVIF or HEIC files, or folders of them",
    )
    predict.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FOLDER", help="folder for the RAW files"
    )
    method = predict.add_argument_group("method")
    add_setting(method, "--model", Config, "model", metavar="MODEL")
    add_setting(method, "--camera", Config, "camera", metavar="NAME")
    add_setting(method, "--device", Config, "device")
    add_setting(method, "--precision", Config, "precision")
    known = predict.add_argument_group("known values, for inverse and models with a base network")
    known.add_argument(
        "--neutral",
        nargs=2,
        type=float,
        metavar=("R/G", "B/G"),
        help="ratios of a neutral grey in the RAW, as in AsShotNeutral of a DNG of the same light",
    )
    known.add_argument(
        "--exposure",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="brightness of the RAW, relative to that which the model would predict (default: 1)",
    )
    output = predict.add_argument_group("output format")
    add_setting(output, "--format", Config, "output_format")
    add_setting(output, "--challenge", Config, "challenge")
    add_setting(output, "--bit-depth", Config, "bit_depth")
    add_setting(output, "--white-level", Config, "white_level", metavar="COUNTS")
    add_setting(output, "--black-level", Config, "black_level", metavar="COUNTS")
    add_setting(output, "--cfa", Config, "cfa")
    output.add_argument("--gps", action="store_true", help="copy the photo's GPS position to DNG files")
    noise = predict.add_argument_group("sensor noise, added before quantisation")
    add_setting(noise, "--noise-iso", NoiseSettings, "iso", metavar="ISO")
    add_setting(noise, "--noise-shot", NoiseSettings, "shot", metavar="VARIANCE")
    add_setting(noise, "--noise-read", NoiseSettings, "read", metavar="VARIANCE")
    add_setting(noise, "--noise-seed", NoiseSettings, "seed", metavar="NUMBER", default=None)


def add_evaluate(parents) -> None:
    evaluate = add_command(
        parents,
        "evaluate",
        commands.run_evaluate,
        "Score RAW against ground truth as the challenge does, and check its consistency with the photos.",
        "omf evaluate raw true_raw --photos photos -o scored",
        "omf evaluate raw --photos photos -o scored",
    )
    evaluate.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="folder of NAME.npy")
    evaluate.add_argument(
        "ground_truth",
        nargs="?",
        type=Path,
        metavar="GROUND_TRUTH",
        help="folder of NAME.npy, or of camera RAW, with the same names",
    )
    evaluate.add_argument(
        "--photos",
        type=Path,
        metavar="FOLDER",
        help="folder of the sRGB photos, for the scores of baselines and overexposed pixels, and consistency",
    )
    add_camera(evaluate, "camera of the RAW")
    add_setting(evaluate, "--challenge", Config, "challenge")
    evaluate.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FOLDER",
        help="folder for scores.json, scores.csv, scores.txt, report.html",
    )
    evaluate.add_argument(
        "--processes",
        type=int,
        default=available_cores(),
        metavar="NUMBER",
        help="number of parallel processes",
    )


def add_render(parents) -> None:
    render = add_command(
        parents,
        "render",
        commands.run_render,
        "Develop RAW to a picture by a simple ISP: white balance, colour matrix, exposure, sRGB curve.",
        "omf render raw/photo.dng -o pictures",
        "omf render submission/ -o pictures --format jpg --camera samsung_s7",
    )
    render.add_argument(
        "raw",
        nargs="+",
        type=Path,
        metavar="RAW_OR_FOLDER",
        help=".npy, .npz or camera RAW such as DNG, or folders of them",
    )
    render.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FOLDER", help="folder for the pictures"
    )
    render.add_argument("--format", choices=["png", "jpg"], default="png", help="format of the pictures")
    add_camera(render, "camera of .npy and .npz files, which gives their colours")
    render.add_argument(
        "--neutral",
        nargs=2,
        type=float,
        metavar=("R/G", "B/G"),
        help="ratios of a neutral grey in the RAW; by default the file's own, else the mean of its pixels",
    )
    render.add_argument(
        "--exposure",
        type=float,
        metavar="FACTOR",
        help="brightness; by default the file's BaselineExposure, else the brightest hundredth becomes white",
    )
    add_setting(render, "--challenge", Config, "challenge")
    for level in ("white", "black"):
        render.add_argument(
            f"--{level}-level",
            type=int,
            metavar="COUNTS",
            help=f"counts for {level} in .npy and .npz; by default the file's own",
        )


def add_models(parents) -> None:
    text = "List, fetch, verify and share weights."
    models = parents.add_parser("models", help=text, description=text).add_subparsers(
        metavar="COMMAND", required=True
    )
    add_command(models, "list", commands.run_models_list, "List the models and whether their files are here.")
    fetch = add_command(
        models,
        "fetch",
        commands.run_models_fetch,
        "Download the files of a model; resumes an interrupted download.",
        "omf models fetch published",
        "omf models fetch OWNER/NAME",
    )
    fetch.add_argument(
        "name",
        metavar="NAME",
        help="a listed model, or OWNER/NAME[@REVISION] on the Hugging Face hub",
    )
    add_command(models, "verify", commands.run_models_verify, "Check the hashes of all files that are here.")
    push = add_command(
        models,
        "push",
        commands.run_models_push,
        "Upload a model with its card and camera profile to the Hugging Face hub.",
        "omf models push my_camera OWNER/NAME",
    )
    push.add_argument("model", metavar="MODEL", help="a listed model, or a folder of weights")
    push.add_argument("repository", metavar="OWNER/NAME", help="repository; a new one is public")


def add_simulate(parents) -> None:
    simulate = add_command(
        parents,
        "simulate",
        commands.run_simulate,
        "Simulate pairs of sRGB photo and RAW from photos as scenes.",
        "omf simulate photos/ -o pairs --camera huawei_p20 --count 500",
    )
    simulate.add_argument(
        "photos",
        nargs="*",
        type=Path,
        metavar="PHOTO_OR_FOLDER",
        help="photos to take scenes from; none: drawn scenes",
    )
    simulate.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder for the pairs, NUMBER.png and NUMBER.npy",
    )
    add_camera(simulate, "profile in cameras/")
    simulate.add_argument("--count", type=int, default=100, metavar="NUMBER", help="number of pairs")
    simulate.add_argument("--size", type=int, default=504, metavar="PIXELS", help="height and width, even")
    simulate.add_argument(
        "--seed", type=int, default=0, metavar="NUMBER", help="random seed; the same gives the same pairs"
    )


def add_dataset(parents) -> None:
    dataset = add_command(
        parents,
        "dataset",
        commands.run_dataset,
        "Describe a folder of photo/RAW pairs and list the pairs that can't be used.",
        "omf dataset pairs --sheet sheet.png",
        "omf dataset phone_photos --convert pairs",
    )
    dataset.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="pairs in the layout of AIM or NTIRE, or camera RAW with JPEG beside it or embedded in it",
    )
    dataset.add_argument("--sheet", type=Path, metavar="FILE", help="write a contact sheet, PNG")
    dataset.add_argument(
        "--convert",
        type=Path,
        metavar="FOLDER",
        help="crop camera RAW and its JPEG into training pairs in this folder",
    )


def add_calibrate(parents) -> None:
    calibrate = add_command(
        parents,
        "calibrate",
        commands.run_calibrate,
        "Measure a camera profile on pairs of photo and RAW.",
        "omf calibrate phone_photos -o my_phone",
        "omf predict photo.jpg -o raw --model inverse --camera my_phone",
    )
    calibrate.add_argument(
        "pairs",
        type=Path,
        metavar="PAIRS",
        help="folder of camera RAW + JPEG, or of pairs in the layout of AIM or NTIRE",
    )
    calibrate.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="NAME",
        help="name of the profile, for --camera; or FILE.yaml, which --camera takes too",
    )
    calibrate.add_argument(
        "--report", type=Path, metavar="FILE", help="plots, PNG; beside the profile by default"
    )


def add_train(parents) -> None:
    train = add_command(
        parents,
        "train",
        commands.run_train,
        "Train the networks of a model, on a dataset or on simulated pairs.",
        "omf train -o my_model --settings settings.yaml",
        "omf predict photo.jpg -o raw --model my_model",
    )
    train.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder for the model; an interrupted training resumes",
    )
    train.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="YAML of settings, as the section `training` of config.yaml",
    )
    train.add_argument("--stage", choices=list(STAGES), help="train this network only")
    add_setting(train, "--device", Config, "device")


def add_selftest(parents) -> None:
    selftest = add_command(
        parents,
        "selftest",
        commands.run_selftest,
        "Check this installation and its GPU: one line for each check.",
        "omf selftest --device cuda",
        "omf selftest --json selftest.json",
    )
    add_setting(selftest, "--device", Config, "device")
    selftest.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the findings for a bug report, without paths or names",
    )


def add_completion(parents) -> None:
    completion = add_command(
        parents,
        "completion",
        lambda arguments: commands.run_completion(parser(), arguments.shell),
        "Print a shell completion script for commands, options and paths.",
        'eval "$(omf completion bash)"    # a line for ~/.bashrc',
    )
    completion.add_argument("shell", choices=SHELLS)


def add_camera(command, text: str) -> None:
    command.add_argument("--camera", default="samsung_s7", metavar="NAME", help=text)
