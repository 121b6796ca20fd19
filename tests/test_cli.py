import json
import os
import pty
import shutil
import subprocess
import sys
import termios

import numpy as np
import pytest
from conftest import ROOT, omf, run

from omf import cli
from omf.utils.errors import InputError


def test_help_loads_no_slow_modules():
    code = """if True:
        import sys
        from omf.cli import main
        try:
            main()
        finally:
            print("LOADED", *sorted(sys.modules))
    """
    answer = run(sys.executable, "-c", code, "--help")
    assert answer.returncode == 0
    assert all(word in answer.stdout for word in ("predict", "evaluate", "models", "train"))
    loaded = answer.stdout.partition("LOADED")[2].split()
    assert "omf.commands" in loaded
    assert not {"numpy", "torch", "scipy", "skimage", "PIL", "imageio", "snakemake"} & set(loaded)


@pytest.mark.parametrize(
    "command",
    [
        ["predict"],
        ["evaluate"],
        ["models", "list"],
        ["models", "fetch"],
        ["models", "verify"],
        ["train"],
        ["completion"],
    ],
)
def test_every_command_has_help(command):
    answer = omf(*command, "--help")
    assert answer.returncode == 0
    assert "usage: omf" in answer.stdout


def test_a_known_neutral_and_exposure_scale_the_raw(tmp_path, photo_folder, tiny_base_model, tiny_model):
    def predict(out: str, *options: str | float, model=tiny_base_model):
        return omf(
            "predict", photo_folder, "-o", tmp_path / out, "--model", model, "--device", "cpu", *options
        )

    for out, options in (("plain", ()), ("bright", ("--exposure", 1.25)), ("red", ("--neutral", 0.9, 0.2))):
        assert predict(out, *options).returncode == 0
    plain, bright, red = (np.load(tmp_path / out / "hills.npy") / 1024 for out in ("plain", "bright", "red"))
    usual = plain < 0.7
    assert bright[usual].mean() == pytest.approx(1.25 * plain[usual].mean(), rel=0.02)
    assert red[..., 0].mean() / red[..., 3].mean() > plain[..., 0].mean() / plain[..., 3].mean()
    for options, model, message in (
        (("--exposure", 0), tiny_base_model, "--exposure 0.0: not above 0"),
        (("--neutral", "nan", 0.5), tiny_base_model, "--neutral nan 0.5: not above 0"),
        (("--exposure", 2), tiny_model, "the model has no use for a known neutral or exposure"),
        (("--exposure", 2), "unprocess", "the model has no use for a known neutral or exposure"),
    ):
        answer = predict("out", *options, model=model)
        assert answer.returncode == 1 and message in answer.stderr, answer.stderr


@pytest.mark.parametrize("command", ["predict", "render"])
def test_a_third_value_of_the_neutral_is_no_file(tmp_path, command):
    """As exiftool prints AsShotNeutral."""
    arguments = cli.parser().parse_args(
        [command, "--neutral", "0.5", "1", "0.6", str(tmp_path / "a.npy"), "-o", str(tmp_path / "out")]
    )
    with pytest.raises(InputError, match="--neutral takes R/G and B/G of a grey in the RAW; divide R and B"):
        arguments.run(arguments)


def test_predict_and_evaluate(tmp_path, photo_folder, tiny_model):
    lone = tmp_path / "lone.jpg"
    shutil.copy(ROOT / "test_rgb" / "bricks.jpg", lone)
    answer = omf(
        "predict", photo_folder, lone, "-o", tmp_path / "out", "--model", tiny_model, "--device", "cpu"
    )
    assert answer.returncode == 0, answer.stderr
    assert "5 of 5 photos reconstructed" in answer.stderr
    raw = np.load(tmp_path / "out" / "lone.npy")
    assert raw.shape == (120, 160, 4)
    assert raw.dtype == np.uint16

    (tmp_path / "out" / "lone.npy").unlink()
    truths = tmp_path / "truths"
    truths.mkdir()
    for name in ("hills", "chart", "leaves_odd", "night_tall"):
        shutil.copy(ROOT / "test_raw" / f"{name}.npy", truths)
    answer = omf("evaluate", tmp_path / "out", truths, "--photos", photo_folder, "--out", tmp_path / "scored")
    assert answer.returncode == 0, answer.stderr
    scores = json.loads((tmp_path / "scored" / "scores.json").read_text())
    assert scores["scored"] == 4
    assert scores["mean"]["psnr"] == pytest.approx(
        np.mean([image["psnr"] for image in scores["images"].values()])
    )
    assert 0 < scores["mean"]["ssim"] < 1
    assert scores["mean"]["unprocess_psnr"] > 10
    assert f"{scores['mean']['psnr']:.2f}" in answer.stdout
    assert len((tmp_path / "scored" / "scores.csv").read_text().splitlines()) == 5
    assert "4 images, sRGB to RAW" in (tmp_path / "scored" / "report.html").read_text()
    assert not (
        tmp_path / "scored" / "scores.txt"
    ).exists()  # it would quote readme.txt, which does not exist

    (truths / "chart.npy").unlink()
    (tmp_path / "out" / "leaves_odd.npy").write_bytes(b"no")
    (truths / "leaves_odd.npy").unlink()
    answer = omf("evaluate", tmp_path / "out", truths, "--photos", photo_folder)
    assert answer.returncode == 1
    assert "3 of 4 images scored" in answer.stderr
    assert answer.stderr.count("chart.npy: no ground truth of that name") == 1
    assert answer.stderr.count("leaves_odd.npy: ") == 1  # can't be read, and not also without ground truth
    (tmp_path / "out" / "leaves_odd.npy").unlink()

    answer = omf("evaluate", tmp_path / "out", "--photos", photo_folder)
    assert answer.returncode == 0, answer.stderr
    assert "consistency with the photos" in answer.stdout
    answer = omf("evaluate", tmp_path / "out")
    assert answer.returncode == 1
    assert "nothing to score against" in answer.stderr


def test_missing_files_are_listed_and_the_rest_is_scored(tmp_path):
    for folder, names in (("pred", ("hills", "extra")), ("truth", ("hills", "night"))):
        (tmp_path / folder).mkdir()
        for name in names:
            shutil.copy(ROOT / "test_raw" / "hills.npy", tmp_path / folder / f"{name}.npy")
    answer = omf("evaluate", tmp_path / "pred", tmp_path / "truth")
    assert answer.returncode == 1
    assert "night.npy: no prediction of that name" in answer.stderr
    assert "extra.npy: no ground truth of that name" in answer.stderr
    assert "999.00" in answer.stdout


def test_a_bad_photo_gives_one_line_and_exit_code_1(tmp_path, photo_folder, tiny_model):
    (photo_folder / "broken.jpg").write_text("no picture")
    answer = omf("predict", photo_folder, "-o", tmp_path / "out", "--model", tiny_model)
    assert answer.returncode == 1
    assert "problem: " in answer.stderr
    assert "broken.jpg: not a picture that can be read" in answer.stderr
    assert "4 of 5 photos reconstructed" in answer.stderr
    assert len(list((tmp_path / "out").glob("[!.]*"))) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "nowhere", "-o", "out"], "nowhere"),
        (
            ["predict", "test_rgb", "-o", "out", "--model", "no_model"],
            "model no_model: neither listed nor a folder",
        ),
        (["predict", "test_rgb", "-o", "out", "--model", "published"], "omf models fetch published"),
        (["evaluate", "nowhere", "test_raw"], "nowhere: no such folder"),
        (["models", "fetch", "no_model"], "model no_model: not listed"),
    ],
)
def test_wrong_inputs_give_one_line(tmp_path, arguments, message):
    if "published" in arguments and (ROOT / "trained_models" / "final_yuv_OE_mask-220.pt").exists():
        pytest.skip("the released weights are present")
    answer = omf(*[str(tmp_path / "out") if argument == "out" else argument for argument in arguments])
    assert answer.returncode == 1
    lines = answer.stderr.strip().splitlines()
    assert any(message in line for line in lines)
    assert len(lines) <= 2
    assert "Traceback" not in answer.stderr


def test_models_list_and_verify():
    listed = omf("models", "list")
    assert listed.returncode == 0
    assert "samsung_s7" in listed.stdout
    assert "published" in listed.stdout
    verified = omf("models", "verify")
    assert verified.returncode == 0, verified.stderr
    assert "samsung_s7: oe.safetensors ok" in verified.stdout


def test_quiet_and_verbose(tmp_path, photo_folder):
    command = ["predict", photo_folder, "-o", tmp_path / "out", "--model", "unprocess"]
    default, quiet, verbose = (omf(*command, *option) for option in ([], ["--quiet"], ["--verbose"]))
    assert [answer.returncode for answer in (default, quiet, verbose)] == [0, 0, 0]
    assert (
        default.stderr.startswith(f"4 of 4 photos reconstructed into {tmp_path / 'out'} in ")
        and "images/s" in default.stderr
    )
    assert quiet.stderr + quiet.stdout == ""
    assert "model unprocess on CPU\n" in verbose.stderr
    assert all(f"{photo}: done\n" in verbose.stderr for photo in photo_folder.iterdir())
    (photo_folder / "broken.jpg").write_text("no picture")
    answer = omf(*command, "--quiet")
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1 and answer.stderr.startswith("problem: ")


def on_a_terminal(*arguments: object, **environment: str) -> str:
    """Run `omf` on a pseudo-terminal and return its output."""
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (24, 100))
    process = subprocess.Popen(
        [sys.executable, "-m", "omf", *map(str, arguments)],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=ROOT,
        env=os.environ | environment,
    )
    os.close(inner)
    output = b""
    try:
        while part := os.read(outer, 4096):
            output += part
    except OSError:  # the other end is closed
        pass
    process.wait()
    os.close(outer)
    return output.decode()


def test_progress_bars_and_colours_only_on_terminals(tmp_path, photo_folder):
    (photo_folder / "broken.jpg").write_text("no picture")
    command = ["predict", photo_folder, "-o", tmp_path / "out", "--model", "unprocess"]
    shown = on_a_terminal(*command, TERM="xterm", NO_COLOR="")
    assert "5/5 [" in shown and "image/s]" in shown
    assert "\x1b[31mproblem:\x1b[0m" in shown
    assert "\x1b[31m" not in on_a_terminal(*command, TERM="xterm", NO_COLOR="1")
    assert "5/5 [" not in on_a_terminal(*command, "--quiet")
    piped = omf(*command).stderr
    assert "\x1b" not in piped and "5/5 [" not in piped
    shown = on_a_terminal(*command, "--model", "no_model", TERM="xterm", NO_COLOR="")
    assert "\x1b[31merror:\x1b[0m model no_model: neither" in shown


def test_a_wrong_command_line_exits_with_2():
    answer = omf("predict", "photo.jpg")
    assert answer.returncode == 2
    assert "the following arguments are required: -o/--out" in answer.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["pre"], "predict"),
        (["predict", "--prec"], "--precision"),
        (["predict", "--format", "d"], "dng"),
        (["models", "f"], "fetch"),
    ],
)
def test_shell_completion(tmp_path, typed, offered):
    script = omf("completion", "bash")
    assert script.returncode == 0, script.stderr
    (tmp_path / "completion").write_text(script.stdout)
    words = " ".join(f"'{word}'" for word in ["omf", *typed])
    request = (
        f"source {tmp_path}/completion; COMP_WORDS=({words}); COMP_CWORD={len(typed)}; "
        "_shtab_omf; echo ${COMPREPLY[@]}"
    )
    assert run("bash", "-c", request).stdout.split() == [offered]
    assert omf("completion", "zsh").stdout.startswith("#compdef omf")
