"""What reconstructs RAW: a pair of networks, or the classical method."""

from omf.inference.base import Method
from omf.inference.precision import PRECISIONS
from omf.inference.unprocess import Unprocess
from omf.models.registry import Model
from omf.raw.camera import load_camera
from omf.utils.errors import InputError


def load_method(model: Model, device: str, precision: str = "float32") -> tuple[Method, str, bool]:
    """Load a model's networks, or its classical method.

    Args:
        model: of models.yaml, or a folder of weights.
        device: auto, cpu or cuda; classical methods use the CPU.
        precision: one of `omf.inference.precision.PRECISIONS`, see `omf.inference.fusion.Fusion`; classical methods have one only.

    Returns:
        The method, its device in words, and whether that is a CPU.

    Raises:
        InputError: a file is missing, wrong or damaged, there is no such device or precision, or float16 is to run on a CPU.
    """
    if precision not in PRECISIONS:
        raise InputError(
            f"precision {precision}: there is no such one; set it to one of {', '.join(PRECISIONS)}"
        )
    if model.method == "unprocess":
        return Unprocess(load_camera(model.camera)), "CPU", True
    # torch, which takes its time to load
    from omf.inference.devices import claim_gpu, device_label, give_back_freed_memory, pick_device
    from omf.inference.fusion import Fusion
    from omf.models.checkpoints import load_pair

    picked = pick_device(device)
    if precision == "float16" and picked.type == "cpu":
        raise InputError(
            "precision float16: for a GPU only, and the device is a CPU; set precision to float32"
        )
    if picked.type == "cuda":
        claim_gpu()
    fusion = Fusion(*load_pair(model), picked, precision)
    give_back_freed_memory()  # what folding took
    return fusion, device_label(picked), picked.type == "cpu"
