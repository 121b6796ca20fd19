"""Load the reconstruction method of a model: a pair of networks, or a classical method."""

from omf.inference.arguments import PRECISIONS, check_device
from omf.inference.base import Method
from omf.inference.inverse import Inverse
from omf.inference.unprocess import Unprocess
from omf.models.registry import Model
from omf.raw.camera import load_camera
from omf.utils.console import log
from omf.utils.errors import InputError

CLASSICAL_METHODS = {"unprocess": Unprocess, "inverse": Inverse}


def load_method(
    model: Model, device: str, precision: str = "float32", own_process: bool = False
) -> tuple[Method, str, bool]:
    """Load a model's networks, or its classical method.

    Classical methods use the CPU, and ignore the precision.

    Args:
        model: listed model, or one of a folder of weights.
        device: auto, cpu, cuda or cuda:N.
        precision: one of `omf.inference.arguments.PRECISIONS`, see `omf.inference.fusion.Fusion`.
        own_process: see `omf.inference.devices.pick_device`.

    Returns:
        The method, a description of its device, and True if that is a CPU.

    Raises:
        InputError: a file is missing, wrong or damaged, the device or precision does not exist, the device
            does not have the precision, or the GPU has too little free memory.
    """
    if precision not in PRECISIONS:
        raise InputError(
            f"precision {precision}: no such precision; set it to one of {', '.join(PRECISIONS)}"
        )
    check_device(device)
    if model.method in CLASSICAL_METHODS:
        return CLASSICAL_METHODS[model.method](load_camera(model.camera)), "CPU", True
    # torch takes long to import
    from omf.inference.devices import device_label, has_bfloat16, pick_device, release_freed_memory
    from omf.inference.fusion import Fusion
    from omf.models.checkpoints import load_networks

    picked = pick_device(device, own_process)
    if precision == "float16" and picked.type == "cpu":
        raise InputError(
            "precision float16: requires a GPU, but the device is a CPU; set precision to float32 or bfloat16"
        )
    if precision == "bfloat16" and not has_bfloat16(picked):
        if picked.type == "cuda":
            raise InputError(
                f"precision bfloat16: requires compute capability 8.0, which {device_label(picked)} does not"
                " have; set precision to float32 or float16"
            )
        log.warning(f"precision bfloat16: {device_label(picked)} emulates it; float32 is faster there")
    oe, noe, base, spread = load_networks(model)
    fusion = Fusion(oe, noe, picked, precision, base, spread)
    release_freed_memory()  # of fusing the layers
    return fusion, device_label(picked), picked.type == "cpu"
