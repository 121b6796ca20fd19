"""The command line of `omf`: commands and options. `omf.commands` runs them."""

import argparse
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import indent
from types import UnionType
from typing import Literal, Union, get_args, get_origin

from omf import commands
from omf.pipeline.config import Config, NoiseSettings
from omf.training.settings import STAGES
from omf.utils.console import configure_logging
from omf.utils.errors import DEBUG, cli_entry_point
from omf.utils.machine import available_cores
from omf.utils.remote import to_path
from omf.utils.sections import AUTO, Section
from omf.utils.version import VERSION
from omf.utils.written import begin_command

PROFILE_NAMES = "name of the profile, for --camera; or FILE.yaml, which --camera takes too"
SHELLS = ["bash", "zsh", "tcsh"]

EXIT_CODES = """exit codes:
  0  success
  1  some input could not be used and is listed; the rest is done
  2  invalid command line"""


@cli_entry_point
def main() -> int:
    arguments = parser().parse_args(list(repeat_auto(sys.argv[1:])))
    if arguments.debug:
        os.environ[DEBUG] = "1"  # child processes inherit it
    configure_logging(
        logging.WARNING if arguments.quiet else logging.DEBUG if arguments.verbose else logging.INFO
    )
    begin_command(arguments.run.__name__)
    return arguments.run(arguments)


def repeat_auto(words: list[str]) -> Iterator[str]:
    """Yield the words of a command line with `--neutral auto` as two values, as the option takes numbers."""
    for before, word in zip(["", *words], words):
        yield from ("--neutral", "auto", "auto") if word == "--neutral=auto" else (word,)
        if before == "--neutral" and word == "auto":
            yield "auto"


class Help(argparse.RawDescriptionHelpFormatter):
    """Help that shows defaults and keeps the lines of examples."""

    def _get_help_string(self, action: argparse.Action) -> str:
        shown = action.default not in (None, False, "", argparse.SUPPRESS)
        return f"{action.help} (default: %(default)s)" if shown else action.help


def add_command(parent, name: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    """Add a command with the options that all share; the docstring of `run` is its help, with examples."""
    text, _, examples = inspect.cleandoc(run.__doc__ or "").partition("\n\n")
    epilog = f"examples:\n{indent(examples, '  ')}" if examples else None
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
    kinds = get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else ()
    kind = next((kind for kind in kinds if kind is not type(None)), field.annotation)
    values = get_args(kind) if get_origin(kind) is Literal else ()
    description = (field.description or "").rstrip(".")
    options = {
        "type": type(values[0]) if values else kind,
        "default": field.default,
        "choices": values or None,
        "help": description[0].lower() + description[1:] if description[1:2].islower() else description,
    }
    parent.add_argument(option, **options | other)


def add_path(parent, names: str, metavar: str, text: str, **options: object) -> None:
    """Add an argument, or an option with one or two names, that takes paths."""
    parent.add_argument(*names.split(), metavar=metavar, help=text, **{"type": Path} | options)


def add_number(parent, option: str, text: str, default: float | None = None, metavar: str = "NUMBER") -> None:
    """Add an option that takes a whole number."""
    parent.add_argument(option, type=int, default=default, metavar=metavar, help=text)


def ratio(text: str) -> float | str:
    """Convert a ratio of a neutral; `auto` stays."""
    return text if text == AUTO else float(text)


def add_known(parent, neutral: str, exposure: str, default: float | None, kind: Callable = float) -> None:
    """Add the options for known values of the light; `kind` converts those of the neutral."""
    parent.add_argument("--neutral", nargs=2, type=kind, metavar=("R/G", "B/G"), help=neutral)
    parent.add_argument("--exposure", type=float, default=default, metavar="FACTOR", help=exposure)


def add_camera(command, text: str) -> None:
    command.add_argument("--camera", default="samsung_s7", metavar="NAME", help=text)


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
        *(add_predict, add_app, add_evaluate, add_render, add_models, add_simulate),
        *(add_dataset, add_camera_command, add_calibrate, add_train, add_selftest, add_completion),
    ):
        add(parents)
    return parser


def add_predict(parents) -> None:
    predict = add_command(parents, "predict", commands.run_predict)
    inputs = (
        "JPEG, PNG, TIFF, WebP, AVIF or HEIC files; folders or tars of them; or addresses in object storage"
    )
    add_path(predict, "photos", "PHOTO_OR_FOLDER", inputs, nargs="+", type=to_path)
    add_path(predict, "-o --out", "FOLDER", "folder for the RAW files", required=True)
    method = predict.add_argument_group("method")
    add_setting(method, "--model", Config, "model", metavar="MODEL")
    add_setting(method, "--camera", Config, "camera", metavar="NAME")
    add_setting(method, "--device", Config, "device")
    add_setting(method, "--precision", Config, "precision")
    add_setting(method, "--scenes", Config, "scenes")
    add_setting(method, "--samples", Config, "samples", metavar="NUMBER")
    add_known(
        predict.add_argument_group("known values, for inverse and models with a base network"),
        "ratios of a neutral grey in the RAW, as in AsShotNeutral of a DNG of the same light; or auto: of the"
        " white balance in the maker notes of each photo",
        "brightness of the RAW, relative to that which the model would predict",
        1.0,
        ratio,
    )
    output = predict.add_argument_group("output format")
    formats = get_args(Config.model_fields["output_format"].annotation)
    formats = [kind for kind in formats if kind != "webdataset"]  # those tars are the workflow's
    add_setting(output, "--format", Config, "output_format", choices=formats)
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


def add_app(parents) -> None:
    app = add_command(parents, "app", commands.run_app)
    text = "address to listen on; 127.0.0.1 is for browsers on this machine only, 0.0.0.0 for all"
    app.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help=text)
    add_number(app, "--port", "port to listen on; by default the first free one from 7860 on")
    add_setting(app, "--device", Config, "device")


def add_evaluate(parents) -> None:
    evaluate = add_command(parents, "evaluate", commands.run_evaluate)
    truth = "folder of NAME.npy, or of camera RAW, with the same names"
    photos = "folder of the sRGB photos, for the scores of baselines and overexposed pixels, and consistency"
    add_path(evaluate, "predictions", "PREDICTIONS", "folder of NAME.npy")
    add_path(evaluate, "ground_truth", "GROUND_TRUTH", truth, nargs="?")
    add_path(evaluate, "--photos", "FOLDER", photos)
    add_camera(evaluate, "camera of the RAW")
    add_setting(evaluate, "--challenge", Config, "challenge")
    add_setting(evaluate, "--scenes", Config, "scenes")
    add_path(evaluate, "-o --out", "FOLDER", "folder for scores.json, scores.csv, scores.txt, report.html")
    add_number(evaluate, "--processes", "number of parallel processes", available_cores())


def add_render(parents) -> None:
    render = add_command(parents, "render", commands.run_render)
    inputs = ".npy, .npz or camera RAW such as DNG, or folders of them"
    add_path(render, "raw", "RAW_OR_FOLDER", inputs, nargs="+")
    add_path(render, "-o --out", "FOLDER", "folder for the pictures", required=True)
    render.add_argument("--format", choices=["png", "jpg"], default="png", help="format of the pictures")
    add_camera(render, "camera of .npy and .npz files, which gives their colours")
    add_known(
        render,
        "ratios of a neutral grey in the RAW; by default the file's own, else the mean of its pixels",
        "brightness; by default the file's BaselineExposure, else the brightest hundredth becomes white",
        None,
    )
    tone = "photo: tone curve of the profile in a DNG, if it has one; none: none"
    render.add_argument("--tone", choices=["photo", "none"], default="photo", help=tone)
    add_setting(render, "--challenge", Config, "challenge")
    for level in ("white", "black"):
        text = f"counts for {level} in .npy and .npz; by default the file's own"
        add_number(render, f"--{level}-level", text, metavar="COUNTS")


def add_models(parents) -> None:
    text = "List, fetch, verify and share weights."
    models = parents.add_parser("models", help=text, description=text)
    inner = models.add_subparsers(metavar="COMMAND", required=True)
    add_command(inner, "list", commands.run_models_list)
    fetch = add_command(inner, "fetch", commands.run_models_fetch)
    names = "a listed model, or OWNER/NAME[@REVISION] on the Hugging Face hub"
    fetch.add_argument("name", metavar="NAME", help=names)
    add_command(inner, "verify", commands.run_models_verify)
    push = add_command(inner, "push", commands.run_models_push)
    push.add_argument("model", metavar="MODEL", help="a listed model, or a folder of weights")
    push.add_argument("repository", metavar="OWNER/NAME", help="repository; a new one is public")


def add_simulate(parents) -> None:
    simulate = add_command(parents, "simulate", commands.run_simulate)
    scenes = "photos to take scenes from; none: drawn scenes"
    out = "folder for the pairs, NUMBER.png and NUMBER.npy"
    add_path(simulate, "photos", "PHOTO_OR_FOLDER", scenes, nargs="*")
    add_path(simulate, "-o --out", "FOLDER", out, required=True)
    add_camera(simulate, "camera: a profile, a RAW file of it, or a name that LibRaw knows")
    add_number(simulate, "--count", "number of pairs", 100)
    add_number(simulate, "--size", "height and width, even", 504, "PIXELS")
    add_number(simulate, "--seed", "random seed; the same gives the same pairs", 0)


def add_dataset(parents) -> None:
    dataset = add_command(parents, "dataset", commands.run_dataset)
    pairs = "pairs in the layout of AIM or NTIRE, or camera RAW with JPEG beside it or embedded in it"
    converted = "crop camera RAW and its JPEG into training pairs in this folder"
    add_path(dataset, "folder", "FOLDER", pairs)
    add_path(dataset, "--sheet", "FILE", "write a contact sheet, PNG")
    add_path(dataset, "--convert", "FOLDER", converted)


def add_camera_command(parents) -> None:
    camera = add_command(parents, "camera", commands.run_camera)
    source = "a RAW file of the camera, or a name that LibRaw knows, such as 'NIKON D750'"
    camera.add_argument("camera", metavar="FILE_OR_NAME", help=source)
    add_path(camera, "-o --out", "NAME", PROFILE_NAMES, required=True)


def add_calibrate(parents) -> None:
    calibrate = add_command(parents, "calibrate", commands.run_calibrate)
    pairs = "folder of camera RAW + JPEG, or of pairs in the layout of AIM or NTIRE"
    add_path(calibrate, "pairs", "PAIRS", pairs)
    add_path(calibrate, "-o --out", "NAME", PROFILE_NAMES, required=True)
    add_path(calibrate, "--report", "FILE", "plots, PNG; beside the profile by default")


def add_train(parents) -> None:
    train = add_command(parents, "train", commands.run_train)
    out = "folder for the model; an interrupted training resumes"
    add_path(train, "-o --out", "FOLDER", out, required=True)
    add_path(train, "--settings", "FILE", "YAML of settings, as the section `training` of config.yaml")
    train.add_argument("--stage", choices=list(STAGES), help="train this network only")
    add_setting(train, "--device", Config, "device")


def add_selftest(parents) -> None:
    selftest = add_command(parents, "selftest", commands.run_selftest)
    add_setting(selftest, "--device", Config, "device")
    add_path(selftest, "--json", "FILE", "write the findings for a bug report, without paths or names")


def add_completion(parents) -> None:
    completion = add_command(parents, "completion", commands.run_completion)
    completion.set_defaults(run=lambda arguments: commands.run_completion(parser(), arguments.shell))
    completion.add_argument("shell", choices=SHELLS)
