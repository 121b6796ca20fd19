"""The precisions of network inference, and their former names."""

import numpy as np
import pytest
from conftest import omf, random_unet, snakemake

from omf.inference.load import load_method
from omf.inference.precision import current_precision
from omf.models.checkpoints import save_network
from omf.models.registry import find_model
from omf.networks.fused_unet import FusedUNet
from omf.reconstructor import Reconstructor
from omf.utils.errors import InputError


def test_layers_are_fused_by_default_but_not_in_published(tiny_model):
    fused = {
        precision: [
            isinstance(branch.body, FusedUNet)
            for branch in load_method(find_model(str(tiny_model)), "cpu", precision)[0].branches
        ]
        for precision in ("float32", "published")
    }
    assert fused == {"float32": [True, True], "published": [False, False]}
    default, _, _ = load_method(find_model(str(tiny_model)), "cpu")
    assert isinstance(default.branches[0].body, FusedUNet)
    assert Reconstructor(tiny_model).precision == "float32"


@pytest.mark.parametrize(
    ("name", "line"),
    [("float16", "set precision to float32"), ("half", "one of float32, published, float16")],
)
def test_unavailable_precisions_are_refused(tiny_model, name, line):
    with pytest.raises(InputError, match=line):
        load_method(find_model(str(tiny_model)), "cpu", name)


@pytest.mark.parametrize(("former", "name"), [("exact", "published"), ("fast", "float32")])
def test_former_names_work_with_a_warning(former, name, caplog, tiny_model):
    assert current_precision(former) == name
    assert Reconstructor(tiny_model, precision=former).precision == name
    assert caplog.messages == 2 * [
        f"precision: {former} is now called {name}; the old name goes with the next version"
    ]
    caplog.clear()
    assert current_precision(name) == name
    assert not caplog.messages


def test_former_names_on_command_lines(tmp_path, photo_folder):
    (tmp_path / "model").mkdir()
    for seed, branch in enumerate(("oe", "noe")):
        save_network(random_unet((4, 6), seed), tmp_path / "model" / f"{branch}.safetensors")
    for name in ("exact", "published"):
        result = omf(
            "predict",
            photo_folder / "chart.png",
            "-o",
            tmp_path / name,
            "--model",
            tmp_path / "model",
            "--precision",
            name,
        )
        assert result.returncode == 0, result.stderr
        assert ("precision: exact is now called published" in result.stderr) == (name == "exact")
    assert (np.load(tmp_path / "exact" / "chart.npy") == np.load(tmp_path / "published" / "chart.npy")).all()
    result = snakemake(tmp_path, "-n", images=photo_folder, ground_truth="", precision="fast")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("precision: fast is now called float32") == 1
    assert (
        "--precision float32"
        in snakemake(tmp_path, "-n", "-p", images=photo_folder, ground_truth="", precision="fast").stdout
    )
