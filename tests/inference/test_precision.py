"""The precisions of network inference."""

import pytest
import torch

from omf.inference import devices
from omf.inference.load import load_method
from omf.models.registry import find_model
from omf.networks.fused_unet import FusedUNet
from omf.reconstructor import Reconstructor
from omf.utils.console import log
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
    [("float16", "set precision to float32"), ("half", "one of float32, published, bfloat16, float16")],
)
def test_unavailable_precisions_are_refused(tiny_model, name, line):
    with pytest.raises(InputError, match=line):
        load_method(find_model(str(tiny_model)), "cpu", name)


@pytest.mark.parametrize("has_instructions", [True, False])
def test_bfloat16_is_computed_with_a_warning_where_it_is_emulated(tiny_model, monkeypatch, has_instructions):
    warnings = []
    monkeypatch.setattr(log, "warning", warnings.append)
    monkeypatch.setattr(devices, "has_bfloat16", lambda _: has_instructions)
    fusion, device, _ = load_method(find_model(str(tiny_model)), "cpu", "bfloat16")
    assert [branch.body.dtype for branch in fusion.branches] == [torch.bfloat16] * 2
    line = f"precision bfloat16: {device} emulates it; float32 is faster there"
    assert warnings == ([] if has_instructions else [line])


def test_gpus_without_bfloat16_refuse_it(tiny_model, monkeypatch):
    """Imitated."""
    monkeypatch.setattr(devices, "pick_device", lambda *_: torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    with pytest.raises(
        InputError, match=r"requires compute capability 8.0, which Tesla T4 does not have; set"
    ):
        load_method(find_model(str(tiny_model)), "cuda", "bfloat16")
