"""What reconstructs RAW: a pair of networks, or the classical method."""

from omf.camera import load_camera
from omf.models import Model
from omf.stream import Method
from omf.unprocess import Unprocess


def load_method(model: Model, device: str, precision: str = "exact") -> tuple[Method, str, bool]:
    """Load a model's networks, or its classical method.

    Args:
        model: of models.yaml, or a folder of weights.
        device: auto, cpu or cuda; classical methods use the CPU.
        precision: exact, the published arithmetic; or fast, the same function with fewer operations, and in float16 on a GPU.

    Returns:
        The method, its device in words, and whether that is a CPU.

    Raises:
        InputError: a file is missing, wrong or damaged, or there is no such device.
    """
    if model.method == "unprocess":
        return Unprocess(load_camera(model.camera)), "CPU", True
    from omf.checkpoints import load_fusion  # torch, which takes its time to load
    from omf.devices import claim_gpu, device_label, give_back_freed_memory, pick_device

    picked = pick_device(device)
    if picked.type == "cuda":
        claim_gpu()
    fusion = load_fusion(model, picked, fast=precision == "fast")
    give_back_freed_memory()  # what folding took
    return fusion, device_label(picked), picked.type == "cpu"
