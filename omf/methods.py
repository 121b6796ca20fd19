"""What reconstructs RAW: a pair of networks, or the classical method."""

from omf.camera import load_camera
from omf.models import Model
from omf.stages import Fuse
from omf.unprocess import Unprocess


def load_method(model: Model, device: str) -> tuple[Fuse, str, bool]:
    """Load a model's networks, or its classical method.

    Args:
        model: of models.yaml, or a folder of weights.
        device: auto, cpu or cuda; classical methods use the CPU.

    Returns:
        The method, its device in words, and whether that is a CPU.

    Raises:
        InputError: a file is missing, wrong or damaged, or there is no such device.
    """
    if model.method == "unprocess":
        return Unprocess(load_camera(model.camera)), "CPU", True
    from omf.checkpoints import load_fusion  # torch, which takes its time to load
    from omf.fusion import device_label, pick_device

    picked = pick_device(device)
    return load_fusion(model, picked), device_label(picked), picked.type == "cpu"
