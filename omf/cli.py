"""The command `omf`: what can be asked for. `omf.commands` does it."""

import argparse
import logging
import os
from collections.abc import Callable
from pathlib import Path

from omf import commands
from omf.inference.precision import FORMER_PRECISIONS, PRECISIONS
from omf.utils.console import configure_logging
from omf.utils.errors import DEBUG, cli_entry_point
from omf.utils.version import VERSION

DEFAULT_MODEL = "samsung_s7"
FORMATS = ["npy", "mosaic", "npz", "png", "dng"]
CHALLENGES = ["aim2022", "ntire2025"]
SHELLS = ["bash", "zsh", "tcsh"]

EXIT_CODES = """exit codes:
  0  all is done
  1  something could not be used, and is listed; the rest is done
  2  a wrong command line"""


@cli_entry_point
def main() -> int:
    arguments = parser().parse_args()
    if arguments.debug:
        os.environ[DEBUG] = "1"  # other processes that this one starts see it too
    configure_logging(
        logging.WARNING if arguments.quiet else logging.DEBUG if arguments.verbose else logging.INFO
    )
    return arguments.run(arguments)


class Help(argparse.RawDescriptionHelpFormatter):
    """Defaults are shown where there are some; examples keep their lines."""

    def _get_help_string(self, action: argparse.Action) -> str:
        return (
            action.help
            if action.default in (None, False, argparse.SUPPRESS)
            else f"{action.help} (default: %(default)s)"
        )


def add_command(
    parent, name: str, run: Callable[[argparse.Namespace], int], text: str, *examples: str
) -> argparse.ArgumentParser:
    """A command with its help, and the options that all commands have."""
    epilog = "\n  ".join(["examples:", *examples]) if examples else None
    command = parent.add_parser(name, help=text, description=text, epilog=epilog, formatter_class=Help)
    command.set_defaults(run=run)
    voice = command.add_mutually_exclusive_group()
    voice.add_argument("-q", "--quiet", action="store_true", help="say nothing but what went wrong")
    voice.add_argument(
        "-v", "--verbose", action="store_true", help="say more: a line for each image in place of the bar"
    )
    command.add_argument("--debug", action="store_true", help="show where an error came from")
    return command


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="omf",
        description="sRGB photos in, sensor RAW out.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"omf {VERSION}")
    parents = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (add_predict, add_evaluate, add_models, add_simulate, add_dataset, add_train, add_completion):
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
        help="JPEG, PNG, TIFF or HEIC files, or folders of them",
    )
    predict.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER", help="for the RAW files")
    method = predict.add_argument_group("what reconstructs")
    method.add_argument(
        "--model", default=DEFAULT_MODEL, help="a name in models.yaml, or a folder that holds an OE/NOE pair"
    )
    add_device(method)
    method.add_argument(
        "--precision",
        choices=[*PRECISIONS, *FORMER_PRECISIONS],
        default="float32",
        metavar=f"{{{','.join(PRECISIONS)}}}",
        help="published: operation for operation as the published code; float16: on a GPU",
    )
    leaves = predict.add_argument_group("how the RAW leaves")
    leaves.add_argument(
        "--format",
        choices=FORMATS,
        default="npy",
        help="npy: packed, the challenge's; mosaic: NAME.npy, (H, W)",
    )
    add_challenge(leaves)
    leaves.add_argument(
        "--bit-depth", type=int, choices=[10, 12, 14], help="of the other formats; 14 if not given"
    )
    leaves.add_argument(
        "--white-level",
        type=int,
        metavar="COUNTS",
        help="for white; the most that the bits hold if not given",
    )
    leaves.add_argument("--black-level", type=int, default=0, metavar="COUNTS", help="for black")
    leaves.add_argument(
        "--cfa", choices=["RGGB", "GRBG", "GBRG", "BGGR"], default="RGGB", help="order of the colours"
    )
    leaves.add_argument(
        "--gps", action="store_true", help="let DNG files tell the place that the photo tells"
    )
    noise = predict.add_argument_group("noise of a sensor, added before the counts")
    noise.add_argument(
        "--noise-iso", type=float, metavar="ISO", help="of the model's camera at this sensitivity"
    )
    noise.add_argument(
        "--noise-shot", type=float, metavar="VARIANCE", help="or as a variance for a signal of 1"
    )
    noise.add_argument("--noise-read", type=float, metavar="VARIANCE", help="and for none")
    noise.add_argument("--noise-seed", type=int, metavar="NUMBER", help="another seed, other noise")


def add_evaluate(parents) -> None:
    evaluate = add_command(
        parents,
        "evaluate",
        commands.run_evaluate,
        "Score reconstructions: against ground truth as the challenge does, and by their photos.",
        "omf evaluate raw true_raw --photos photos -o scored",
        "omf evaluate raw --photos photos -o scored",
    )
    evaluate.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="folder of NAME.npy")
    evaluate.add_argument(
        "ground_truth",
        nargs="?",
        type=Path,
        metavar="GROUND_TRUTH",
        help="folder of NAME.npy, or of camera RAW, the same names",
    )
    evaluate.add_argument(
        "--photos",
        type=Path,
        metavar="FOLDER",
        help="of the sRGB photos: scores of baselines and of overexposed pixels, consistency",
    )
    add_camera(evaluate, "whose RAW it is")
    add_challenge(evaluate)
    evaluate.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FOLDER",
        help="for scores.json, scores.csv, scores.txt and report.html",
    )
    evaluate.add_argument("--processes", type=int, default=os.cpu_count(), metavar="NUMBER", help="at once")


def add_models(parents) -> None:
    text = "List, fetch and verify weights."
    models = parents.add_parser("models", help=text, description=text).add_subparsers(
        metavar="COMMAND", required=True
    )
    add_command(models, "list", commands.run_models_list, "List the models and whether their files are here.")
    fetch = add_command(
        models,
        "fetch",
        commands.run_models_fetch,
        "Download a model's files; goes on where an earlier call was cut off.",
        "omf models fetch published",
    )
    fetch.add_argument("name", metavar="NAME", help="a name in models.yaml")
    add_command(models, "verify", commands.run_models_verify, "Check the hashes of all files that are here.")


def add_simulate(parents) -> None:
    simulate = add_command(
        parents,
        "simulate",
        commands.run_simulate,
        "Take photos as scenes, and simulate a camera's picture of each and its RAW.",
        "omf simulate photos/ -o pairs --camera huawei_p20 --count 500",
    )
    simulate.add_argument(
        "photos",
        nargs="*",
        type=Path,
        metavar="PHOTO_OR_FOLDER",
        help="to take scenes from; none: drawn scenes",
    )
    simulate.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="for the pairs: NUMBER.png and NUMBER.npy",
    )
    add_camera(simulate, "a profile in cameras/")
    simulate.add_argument("--count", type=int, default=100, metavar="NUMBER", help="of pairs")
    simulate.add_argument(
        "--size", type=int, default=504, metavar="PIXELS", help="their height and width, even"
    )
    simulate.add_argument(
        "--seed", type=int, default=0, metavar="NUMBER", help="the same seed gives the same pairs"
    )


def add_dataset(parents) -> None:
    dataset = add_command(
        parents,
        "dataset",
        commands.run_dataset,
        "Look at a folder of photo/RAW pairs: what is there, and what can't be used.",
        "omf dataset pairs --sheet sheet.png",
        "omf dataset phone_photos --convert pairs",
    )
    dataset.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="pairs in the layout of AIM, of NTIRE, or camera RAW + JPEG",
    )
    dataset.add_argument("--sheet", type=Path, metavar="FILE", help="write a contact sheet there, PNG")
    dataset.add_argument(
        "--convert", type=Path, metavar="FOLDER", help="cut camera RAW + JPEG into training pairs there"
    )


def add_train(parents) -> None:
    train = add_command(
        parents,
        "train",
        commands.run_train,
        "Train a Demosaic Net and an OE/NOE pair on a dataset or on simulated pairs.",
        "omf train -o my_model --settings settings.yaml",
        "omf predict photo.jpg -o raw --model my_model",
    )
    train.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="for the model; a training that was cut off goes on from there",
    )
    train.add_argument(
        "--settings", type=Path, metavar="FILE", help="YAML, as the section `training` of config.yaml"
    )
    train.add_argument("--stage", choices=["demosaic", "noe", "oe"], help="train this network only")
    add_device(train)


def add_completion(parents) -> None:
    completion = add_command(
        parents,
        "completion",
        lambda arguments: commands.run_completion(parser(), arguments.shell),
        "Print what lets a shell complete commands, options and paths.",
        'eval "$(omf completion bash)"    # a line for ~/.bashrc',
    )
    completion.add_argument("shell", choices=SHELLS)


def add_device(command) -> None:
    command.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto takes a GPU if there is one"
    )


def add_camera(command, text: str) -> None:
    command.add_argument("--camera", default="samsung_s7", metavar="NAME", help=text)


def add_challenge(command) -> None:
    command.add_argument(
        "--challenge", choices=CHALLENGES, default="aim2022", help="whose packed format npy is"
    )
