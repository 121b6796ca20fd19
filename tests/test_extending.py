"""The example network and camera of docs/extending.md work in a copy of the code."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, run

PAGE = (ROOT / "docs" / "extending.md").read_text()
# runs all commands in one process, which loads PyTorch once
DRIVER = """
import shlex, sys
from omf.cli import main
for line in sys.argv[1:]:
    sys.argv = shlex.split(line)
    try:
        main()
    except SystemExit as end:
        if end.code:
            sys.exit(f"{line}: {end.code}")
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def replace_line(file: Path, pattern: str, line: str) -> None:
    text, times = re.subn(pattern, line, file.read_text(), flags=re.MULTILINE)
    assert times == 1
    file.write_text(text)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """Return a copy of the library with the page's network and camera added, and a photo."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "omf", folder / "omf", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "cameras", folder / "cameras")
    (folder / "trained_models").mkdir()
    shutil.copy(ROOT / "trained_models" / "models.yaml", folder / "trained_models")
    shutil.copy(ROOT / "test_rgb" / "leaves_odd.jpg", folder / "photo.jpg")
    network, registered, setting = blocks("python")
    settings, camera = blocks("yaml")
    (folder / "omf" / "networks" / "tiny.py").write_text(network)
    networks = folder / "omf" / "networks" / "build.py"
    imported, _, listed = registered.strip().splitlines()
    replace_line(networks, "^NETWORKS = .*$", listed)
    replace_line(networks, "^(?=from omf.networks.unet)", f"{imported}\n")
    settings_module = folder / "omf" / "training" / "settings.py"
    replace_line(settings_module, r"^    network: (.*\n){3}", setting)
    (folder / "settings.yaml").write_text(settings)
    (folder / "cameras" / "my_phone.yaml").write_text(camera)
    return folder


@pytest.mark.slow
def test_the_pages_camera_and_network_work(copy):
    use, simulate = blocks("sh")
    commands = [line.partition("#")[0] for line in (simulate + use).splitlines()]
    assert {shlex.split(command)[0] for command in commands} == {"omf"}
    result = run(sys.executable, "-c", DRIVER, *commands, cwd=copy, PYTHONPATH=str(copy))
    assert result.returncode == 0, result.stderr
    assert "layout aim: 16 pairs" in result.stdout
    assert (copy / "sheet.png").is_file()
    raw = np.load(copy / "raw" / "photo.npy")
    assert (raw.shape, raw.dtype) == ((101, 150, 4), np.uint16)
    assert raw.std() > 0
    files = {path.name for path in (copy / "model").glob("[!.]*")}
    networks = {f"{stage}.safetensors" for stage in ("base", "demosaic", "noe", "oe", "spread")}
    assert files == networks | {"log.csv", "curves.png", "finished.json"}
    outputs = (ROOT / "docs" / "outputs.md").read_text()
    assert all(f"`OUT/{name}`" in outputs for name in files)


def test_the_pages_camera_explains_every_field():
    ours = yaml.safe_load(blocks("yaml")[1])
    shipped = yaml.safe_load((ROOT / "cameras" / "samsung_s7.yaml").read_text())
    # of tone groups the text tells; the others are those of other cameras
    assert ours.keys() - {"tone_curve", "read_noise_floor"} == shipped.keys() - {"tone_groups"}
    assert ours["settings"].keys() == shipped["settings"].keys()
