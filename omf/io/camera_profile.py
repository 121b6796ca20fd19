"""Camera profiles as YAML text, with a remark at each figure. No torch here."""

import json
from collections.abc import Iterable, Mapping

import numpy as np

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
DIGITS = 6


def profile_text(fields: Mapping[str, object], header: Iterable[str], remarks: Mapping[str, str]) -> str:
    """Return a profile as YAML.

    Args:
        fields: as in cameras/*.yaml.
        header: lines of comment.
        remarks: by name of a field or setting.
    """
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
    fields = {
        "name": camera.name,
        "cfa": camera.cfa,
        "black_level": camera.black_level,
        "white_level": camera.white_level,
        "frame": list(camera.frame),
        "shot_noise_iso_100": camera.shot_noise * 100,
        "read_noise_floor": camera.read_noise_floor,
        "neutrals": [
            {"red": round(red, DIGITS), "blue": round(blue, DIGITS), "weight": round(weight, DIGITS)}
            for (red, blue), weight in zip(camera.neutrals.tolist(), camera.weights.tolist())
        ],
        "jitter": {
            "red": round(float(red), DIGITS),
            "blue": round(float(blue), DIGITS),
            "correlation": round(float(camera.spread[0, 1] / (red * blue)), DIGITS),
        },
        "illuminants": [
            {
                "light": light,
                "red": round(float(neutral[0]), DIGITS),
                "blue": round(float(neutral[2]), DIGITS),
                "from_xyz": camera.xyz_matrices[light].round(DIGITS).tolist(),
            }
            for light, neutral in camera.illuminants.items()
        ],
        "colour_matrices": camera.colour_matrices.round(DIGITS).tolist(),
        "settings": camera.prior.model_dump(exclude_none=True),
        "jpeg": dict(zip(SUBSAMPLING, camera.subsampling.tolist())),
    }
    header = (
        "Written by `omf camera`. samsung_s7.yaml explains the fields; all but colours and sensor is that of",
        "generic_phone.yaml. With pairs of photo and RAW, `omf calibrate` measures the rest.",
    )
    remarks = {
        "neutrals": "of the matrices, under A, D50 and D65",
        "settings": "generic_phone's",
        "jpeg": "generic_phone's",
        "jitter": "generic_phone's",
    }
    return profile_text(fields, header, remarks)
