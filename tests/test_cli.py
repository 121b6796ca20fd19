import argparse
import json
import os
import pty
import shutil
import subprocess
import sys
import termios
from collections.abc import Iterator

import numpy as np
import pytest
from conftest import ROOT, run

from omf import cli

LOADED = """if True:
    import sys
    from omf.cli import main
    try:
        main()
    except SystemExit as end:
        assert not end.code
    finally:
        print("LOADED", *sorted(sys.modules))
"""


def modules_after(*command: object) -> list[str]:
    """Return the modules that are loaded after a command of `omf`."""
    answer = run(sys.executable, "-c", LOADED, *command)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.partition("LOADED")[2].split()


def test_help_loads_no_slow_modules():
    loaded = modules_after("--help")
    assert "omf.commands" in loaded
    assert not {"numpy", "torch", "scipy", "skimage", "PIL", "imageio", "snakemake"} & set(loaded)


def test_a_prediction_loads_no_more_than_it_needs(tmp_path, tiny_base_model):
    """PyTorch's compiler takes seconds of the start, and SciPy tenths."""
    options = ("-o", tmp_path, "--model", tiny_base_model, "--device", "cpu", "-q")
    loaded = modules_after("predict", ROOT / "test_rgb" / "chart.png", *options)
    assert not {"torch._dynamo", "sympy", "scipy.ndimage", "pandas", "rawpy"} & set(loaded)
    assert len(loaded) < 2000


def all_commands(parser: argparse.ArgumentParser, *words: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command of a parser."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in inner:
        for name, command in action.choices.items():
            yield from all_commands(command, *words, name)
    if not inner:
        yield words


def test_every_command_has_help(call_omf):
    assert all(word in call_omf("--help").stdout for word in ("predict", "evaluate", "models", "train"))
    commands = list(all_commands(cli.parser()))
    assert {("predict",), ("models", "fetch"), ("completion",)} <= set(commands) and len(commands) == 15
    for command in commands:
        answer = call_omf(*command, "--help")
        assert answer.returncode == 0
        assert f"usage: omf {' '.join(command)} [-h]" in answer.stdout


def test_a_known_neutral_and_exposure_scale_the_raw(
    call_omf, tmp_path, photo_folder, tiny_base_model, tiny_model
):
    def predict(out: str, *options: str | float, model=tiny_base_model):
        command = ("predict", photo_folder / "coffee.jpg", "-o", tmp_path / out, "--device", "cpu")
        return call_omf(*command, "--model", model, *options)

    for out, options in (("plain", ()), ("bright", ("--exposure", 1.25)), ("red", ("--neutral", 0.9, 0.2))):
        assert predict(out, *options).returncode == 0
    plain, bright, red = (np.load(tmp_path / out / "coffee.npy") / 1024 for out in ("plain", "bright", "red"))
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


def test_predict_and_evaluate(call_omf, tmp_path, photo_folder, tiny_model):
    lone, out, scored, truths = (tmp_path / name for name in ("lone.jpg", "out", "scored", "truths"))
    shutil.copy(ROOT / "test_rgb" / "hopper.jpg", lone)
    answer = call_omf("predict", photo_folder, lone, "-o", out, "--model", tiny_model, "--device", "cpu")
    assert answer.returncode == 0, answer.stderr
    assert "5 of 5 photos reconstructed" in answer.stderr
    raw = np.load(out / "lone.npy")
    assert (raw.shape, raw.dtype) == ((148, 126, 4), np.uint16)

    (out / "lone.npy").unlink()
    truths.mkdir()
    for name in ("coffee", "chart", "leaves_odd", "night_tall"):
        shutil.copy(ROOT / "test_raw" / f"{name}.npy", truths)
    answer = call_omf("evaluate", out, truths, "--photos", photo_folder, "--out", scored)
    assert answer.returncode == 0, answer.stderr
    scores = json.loads((scored / "scores.json").read_text())
    psnr = np.mean([image["psnr"] for image in scores["images"].values()])
    assert scores["scored"] == 4
    assert scores["mean"]["psnr"] == pytest.approx(psnr)
    assert 0 < scores["mean"]["ssim"] < 1
    assert scores["mean"]["unprocess_psnr"] > 10
    assert f"{psnr:.2f}" in answer.stdout
    assert len((scored / "scores.csv").read_text().splitlines()) == 5
    assert "4 images, sRGB to RAW" in (scored / "report.html").read_text()
    assert not (scored / "scores.txt").exists()  # it would quote readme.txt, which does not exist

    (truths / "chart.npy").unlink()
    (out / "leaves_odd.npy").write_bytes(b"no")
    (truths / "leaves_odd.npy").unlink()
    shutil.copy(truths / "coffee.npy", truths / "night.npy")
    answer = call_omf("evaluate", out, truths, "--photos", photo_folder, "--processes", 1)
    assert answer.returncode == 1
    assert "3 of 5 images scored" in answer.stderr
    assert answer.stderr.count("chart.npy: no ground truth of that name") == 1
    assert answer.stderr.count("night.npy: no prediction of that name") == 1
    assert answer.stderr.count("leaves_odd.npy: ") == 1  # can't be read, and not also without ground truth
    (out / "leaves_odd.npy").unlink()

    answer = call_omf("evaluate", out, "--photos", photo_folder, "--processes", 1)
    assert answer.returncode == 0, answer.stderr
    assert "consistency with the photos" in answer.stdout
    answer = call_omf("evaluate", truths, truths, "--processes", 1)
    assert answer.returncode == 0 and "999.00" in answer.stdout


# as exiftool prints AsShotNeutral: the third value is no file
AS_SHOT_NEUTRAL = "--neutral takes R/G and B/G of a grey"


@pytest.mark.parametrize(
    ("command", "message"),  # more in tests/faults/test_bad_runs.py
    [
        ("predict test_rgb -o {out} --model published", "omf models fetch published"),
        ("predict -o {out} --neutral 0.5 1 0.6 a.npy", AS_SHOT_NEUTRAL),
        ("render -o {out} --neutral 0.5 1 0.6 a.npy", AS_SHOT_NEUTRAL),
    ],
)
def test_wrong_inputs_give_one_line(omf_lines, tmp_path, monkeypatch, command, message):
    if "published" in command and (ROOT / "trained_models" / "final_yuv_OE_mask-220.pt").exists():
        pytest.skip("the released weights are present")
    monkeypatch.chdir(ROOT)
    code, lines = omf_lines(*command.format(out=tmp_path / "out").split())
    assert code == 1 and len(lines) <= 2 and any(message in line for line in lines)
    assert not any("Traceback" in line for line in lines)


def test_models_list_and_verify(call_omf):
    for word, shown in (
        ("list", "samsung_s7"),
        ("list", "published"),
        ("verify", "samsung_s7: oe.safetensors ok"),
    ):
        answer = call_omf("models", word)
        assert answer.returncode == 0 and shown in answer.stdout, answer.stderr


def test_quiet_and_verbose(call_omf, tmp_path, photo_folder):
    command = ["predict", photo_folder, "-o", tmp_path / "out", "--model", "unprocess"]
    default, quiet, verbose = (call_omf(*command, *option) for option in ([], ["--quiet"], ["--verbose"]))
    assert [answer.returncode for answer in (default, quiet, verbose)] == [0, 0, 0]
    assert default.stderr.startswith(f"4 of 4 photos reconstructed into {tmp_path / 'out'} in ")
    assert "images/s" in default.stderr
    assert quiet.stderr + quiet.stdout == ""
    assert "model unprocess on CPU\n" in verbose.stderr
    assert all(f"{photo}: done\n" in verbose.stderr for photo in photo_folder.iterdir())
    (photo_folder / "broken.jpg").write_text("no picture")
    answer = call_omf(*command)
    assert answer.returncode == 1
    assert "problem: " in answer.stderr and "broken.jpg: not a picture that can be read" in answer.stderr
    assert "4 of 5 photos reconstructed" in answer.stderr
    assert len(list((tmp_path / "out").glob("[!.]*"))) == 4
    answer = call_omf(*command, "--quiet")
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1 and answer.stderr.startswith("problem: ")
    assert "\x1b" not in answer.stderr


def on_a_terminal(*arguments: object, **environment: str) -> str:
    """Run `omf` on a pseudo-terminal and return its output."""
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (24, 100))
    command = [sys.executable, "-m", "omf", *map(str, arguments)]
    streams = {"stdin": inner, "stdout": inner, "stderr": inner}
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, **streams)
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


def test_progress_bars_and_colours_only_on_terminals(call_omf, tmp_path, photo_folder):
    (photo_folder / "broken.jpg").write_text("no picture")
    command = ["predict", photo_folder, "-o", tmp_path / "out", "--model", "unprocess"]
    shown = on_a_terminal(*command, TERM="xterm", NO_COLOR="")
    assert "5/5 [" in shown and "image/s]" in shown
    assert "\x1b[31mproblem:\x1b[0m" in shown
    shown = on_a_terminal(*command, "--quiet", TERM="xterm", NO_COLOR="1")
    assert "problem: " in shown and "5/5 [" not in shown and "\x1b[31m" not in shown
    shown = on_a_terminal(*command, "--model", "no_model", TERM="xterm", NO_COLOR="")
    assert "\x1b[31merror:\x1b[0m model no_model: neither" in shown
    piped = call_omf(*command).stderr
    assert "\x1b" not in piped and "5/5 [" not in piped


def test_a_wrong_command_line_exits_with_2(call_omf):
    answer = call_omf("predict", "photo.jpg")
    assert answer.returncode == 2
    assert "the following arguments are required: -o/--out" in answer.stderr


def test_shell_completion(call_omf, tmp_path):
    script = call_omf("completion", "bash")
    assert script.returncode == 0, script.stderr
    (tmp_path / "completion").write_text(script.stdout)
    for typed, offered in (
        ("pre", "predict"),
        ("predict --prec", "--precision"),
        ("predict --format dn", "dng"),
        ("models f", "fetch"),
    ):
        request = f"source {tmp_path}/completion; COMP_WORDS=(omf {typed}); COMP_CWORD={len(typed.split())}; "
        assert run("bash", "-c", f"{request} _shtab_omf; echo ${{COMPREPLY[@]}}").stdout.split() == [offered]
    assert call_omf("completion", "zsh").stdout.startswith("#compdef omf")
