"""The precisions of network inference."""

import pytest

from omf.inference.load import load_method
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
    [("float16", "set precision to float32"), ("half", "one of float32, published, bfloat16, float16")],
)
def test_unavailable_precisions_are_refused(tiny_model, name, line):
    with pytest.raises(InputError, match=line):
        load_method(find_model(str(tiny_model)), "cpu", name)
