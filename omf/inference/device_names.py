"""Names of the devices of network inference. No torch here."""

import re

from omf.utils.errors import InputError


def check_device(device: object) -> str:
    """Return the name of a device: auto, cpu, cuda or cuda:N.

    Args:
        device: the name, or a torch.device.

    Raises:
        InputError: it is none of these.
    """
    name = str(device)
    if re.fullmatch("auto|cpu(:0)?|cuda(:[0-9]{1,3})?", name) is None:
        raise InputError(f"device {name}: no such device; give auto, cpu, cuda or cuda:N, N from 0 on")
    return name.removesuffix(":0") if name.startswith("cpu") else name
