"""Camera profiles as YAML text, with a remark at each figure. No torch here."""

import json
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from omf.raw.camera import Camera

SECTIONS = (  # of the file, with an empty line between them
    ("name",),
    ("cfa", "black_level", "white_level", "frame", "shot_noise_iso_100", "read_noise_floor"),
    ("neutrals", "jitter"),
    ("illuminants",),
    ("colour_matrices",),
    ("tone_curve",),
    ("settings", "jpeg"),
)
LISTS = ("neutrals", "illuminants", "colour_matrices", "tone_curve")  # with an item in each line
SUBSAMPLING = ("4:4:4", "4:2:2", "4:2:0", "none")


def profile_text(fields: Mapping[str, object], header: Iterable[str], remarks: Mapping[str, str]) -> str:
    """Return the fields of a profile as YAML, with a header of comments, and remarks by name of a field."""
    lines = [f"# {line}" for line in header]
    for section in SECTIONS:
        if present := [name for name in section if name in fields]:
            lines += ["", *(line for name in present for line in entry(name, fields[name], remarks))]
    return "\n".join(lines) + "\n"


def entry(name: str, value: object, remarks: Mapping[str, str]) -> list[str]:
    """Return the lines of YAML of a field or setting."""
    remark = f"  # {remarks[name]}" if name in remarks else ""
    if name in LISTS:
        return [f"{name}:{remark}", *(f"  - {json.dumps(item)}" for item in value)]
    if name == "settings":
        inner = [line for setting in value.items() for line in entry(*setting, remarks)]
        return [f"{name}:", *(f"  {line}" for line in inner)]
    return [f"{name}: {json.dumps(value)}{remark}"]


def known_camera_text(camera: Camera) -> str:
    """Return the profile of a camera of which a RAW file or LibRaw tells the colours, see `find_camera`."""
    red, blue = np.sqrt(np.diag(camera.spread))
    neutrals = np.column_stack([camera.neutrals, camera.weights])
    jitter = [red, blue, camera.spread[0, 1] / (red * blue)]
    fields = {
        "name": camera.name,
        "cfa": camera.cfa,
        "black_level": camera.black_level,
        "white_level": camera.white_level,
        "frame": list(camera.frame),
        "shot_noise_iso_100": camera.shot_noise * 100,
        "read_noise_floor": camera.read_noise_floor,
        "neutrals": [dict(zip(("red", "blue", "weight"), rounded(values))) for values in neutrals],
        "jitter": dict(zip(("red", "blue", "correlation"), rounded(jitter))),
        "illuminants": [
            {
                "light": light,
                **dict(zip(("red", "blue"), rounded(neutral[[0, 2]]))),
                "from_xyz": rounded(camera.xyz_matrices[light]),
            }
            for light, neutral in camera.illuminants.items()
        ],
        "colour_matrices": rounded(camera.colour_matrices),
        "settings": camera.prior.model_dump(exclude_none=True),
        "jpeg": dict(zip(SUBSAMPLING, camera.subsampling.tolist())),
    }
    header = (
        "Written by `omf camera`. samsung_s7.yaml explains the fields; all but colours and sensor is that of",
        "generic_phone.yaml. With pairs of photo and RAW, `omf calibrate` measures the rest.",
    )
    remarks = {"neutrals": "of the matrices, under A, D50 and D65"}
    return profile_text(
        fields, header, remarks | dict.fromkeys(("settings", "jpeg", "jitter"), "generic_phone's")
    )


def rounded(values: ArrayLike) -> list:
    """Return numbers as lists, to 6 decimals."""
    return np.round(np.asarray(values, np.float64), 6).tolist()
