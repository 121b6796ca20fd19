"""The command `omf`. Imports what a subcommand needs when it runs, so that help comes at once."""

import argparse
import sys
from pathlib import Path

from omf import __version__
from omf.errors import InputError, told_in_one_line

DEFAULT_MODEL = "samsung_s7"


@told_in_one_line
def main() -> int:
    arguments = parser().parse_args()
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
        return added

    predict = command("predict", run_predict, "Reconstruct the RAW of photos: NAME.npy, uint16 (H/2, W/2, 4), RGGB.")
    predict.add_argument("photos", nargs="+", type=Path, metavar="PHOTO_OR_FOLDER", help="JPEG, PNG or TIFF files, or folders of them")
    predict.add_argument("-o", "--out", type=Path, required=True, help="folder for the RAW files")
    predict.add_argument("--model", default=DEFAULT_MODEL, help="a name in models.yaml, or a folder that holds an OE/NOE pair")
    add_device(predict)

    evaluate = command("evaluate", run_evaluate, "Score reconstructions as the challenge does: PSNR and SSIM.")
    evaluate.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="folder of NAME.npy")
    evaluate.add_argument("ground_truth", type=Path, metavar="GROUND_TRUTH", help="folder of NAME.npy, the same names")
    evaluate.add_argument("--photos", type=Path, help="folder of the sRGB photos; scores the classical baseline beside")
    evaluate.add_argument("--camera", default="samsung_s7", help="whose white balance the baseline takes")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the scores there too")

    models = command("models", None, "List, fetch and verify weights.").add_subparsers(metavar="COMMAND", required=True)
    command("list", run_models_list, "List the models and whether their files are here.", models)
    fetch = command("fetch", run_models_fetch, "Download a model's files; goes on where an earlier call was cut off.", models)
    fetch.add_argument("name", metavar="NAME", help="a name in models.yaml")
    command("verify", run_models_verify, "Check the hashes of all files that are here.", models)

    train = command("train", run_train, "Train an OE/NOE pair on pairs simulated from photos and drawn scenes.")
    train.add_argument("out", type=Path, metavar="OUT", help="folder for the model; a run that was cut off goes on from there")
    train.add_argument("--photos", nargs="*", type=Path, default=[], metavar="PHOTO_OR_FOLDER", help="sRGB photos to take scenes from")
    train.add_argument("--leave-out", type=Path, metavar="FILE", help="file names (globs, a line each) never to train on")
    train.add_argument("--camera", default="samsung_s7", help="a profile in cameras/")
    train.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64, 128, 256], help="channels of each level of the U-Nets")
    train.add_argument("--steps", type=int, nargs=2, default=[4000, 1300], metavar=("NOE", "OE"), help="training steps of each branch")
    train.add_argument("--learning-rate", type=float, default=2e-3, help="at its highest")
    train.add_argument("--start", metavar="MODEL", help="a model to go on from, with its widths: a name or a folder, as in predict")
    train.add_argument("--seed", type=int, default=0, help="of the weights and the pairs")
    add_device(train)
    return parser


def add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto takes a GPU if there is one")


def run_predict(arguments: argparse.Namespace) -> int:
    from omf.models import check_files, find_model

    photos = gather(arguments.photos)
    model = find_model(arguments.model)
    check_files(model)  # before torch, which takes its time to load

    from omf.checkpoints import load_fusion
    from omf.fusion import pick_device
    from omf.predict import predict

    problems = predict(photos, arguments.out, load_fusion(model, pick_device(arguments.device)))
    return conclude(f"{len(photos) - len(problems)} of {len(photos)} photos reconstructed into {arguments.out}", problems)


def run_evaluate(arguments: argparse.Namespace) -> int:
    from omf.camera import load_camera
    from omf.challenge import list_packed
    from omf.evaluate import score_images, scores_table, summarise
    from omf.files import save_json
    from omf.images import list_images
    from omf.stages import by_name

    predictions, truths = (list_packed(folder) for folder in (arguments.predictions, arguments.ground_truth))
    photos = by_name(list_images(arguments.photos))[0] if arguments.photos else {}
    scores, problems = score_images(predictions, truths, photos, load_camera(arguments.camera))
    problems += [f"{truths[name]}: no prediction of that name in {arguments.predictions}" for name in sorted(truths.keys() - predictions)]
    problems += [f"{predictions[name]}: no ground truth of that name" for name in sorted(predictions.keys() - truths)]
    summary = summarise(scores)
    if arguments.json:
        save_json(arguments.json, summary)
    if scores:
        print(scores_table(summary))
    return conclude(f"{len(scores)} of {len(truths)} images scored", problems)


def run_models_list(arguments: argparse.Namespace) -> int:
    from omf.models import read_models

    for name, model in read_models().items():
        here = all(file.path.is_file() for file in model.files)
        fetchable = all(file.url for file in model.files)
        state = "here" if here else f"not here; omf models fetch {name}" if fetchable else "not here"
        size = sum(file.bytes for file in model.files) / 1e6
        print(f"{name:<14} {size:6.1f} MB  widths {'-'.join(map(str, model.widths))}  {state}\n    {model.description}")
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


def run_train(arguments: argparse.Namespace) -> int:
    from omf.camera import load_camera
    from omf.fusion import pick_device
    from omf.models import check_files, find_model
    from omf.training.loop import Settings, train
    from omf.training.pairs import load_scenes

    steps_noe, steps_oe = arguments.steps
    settings = Settings(
        camera=arguments.camera,
        widths=tuple(arguments.widths),
        steps_noe=steps_noe,
        steps_oe=steps_oe,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        start=arguments.start,
    )
    start = find_model(arguments.start) if arguments.start else None
    if start:
        check_files(start)
    photos = gather(arguments.photos)
    if arguments.leave_out:
        held_out = set(matching(photos, arguments.leave_out))
        photos = [photo for photo in photos if photo not in held_out]
    train(settings, load_scenes(photos), load_camera(arguments.camera), arguments.out, pick_device(arguments.device), start)
    return conclude(f"trained; use it with: omf predict --model {arguments.out}", [])


def gather(paths: list[Path]) -> list[Path]:
    """Folders replaced by the pictures in them."""
    from omf.images import list_images

    return [photo for path in paths for photo in (list_images(path) if path.is_dir() else [path])]


def matching(photos: list[Path], patterns: Path) -> list[Path]:
    """The photos whose names match one of the globs in a file; lines with # are comments."""
    try:
        lines = [line.strip() for line in patterns.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{patterns}: can't be read ({error}); give a text file with a file name or glob in each line") from error
    globs = [line for line in lines if line and not line.startswith("#")]
    return [photo for photo in photos if any(photo.match(glob) for glob in globs)]


def conclude(summary: str, problems: list[str]) -> int:
    """Say what was done and what was not; the exit code."""
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    if summary:
        print(summary, file=sys.stderr)
    return 1 if problems else 0
