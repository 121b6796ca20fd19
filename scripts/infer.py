"""Reconstruct the demosaiced RAW of a shard, on a GPU if there is one."""

import argparse
import json
from pathlib import Path

import omf.utils.program  # noqa: F401 - before all that takes long
from omf.inference.load import load_method
from omf.io.cameras import find_camera, find_cameras
from omf.models.registry import find_model
from omf.pipeline.infer import infer
from omf.raw.camera_colours import Carriage
from omf.report.provenance import environment, environment_line
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("decoded", type=Path, help="folder of NAME.tif")
    parser.add_argument("--photos", type=Path, required=True, help="JSON that preprocess wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for NAME.tif, float32 (H, W, 3)")
    parser.add_argument("--timing", type=Path, required=True, help="JSON of the measurements")
    parser.add_argument("--model", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--samples", type=int, default=0)
    arguments = parser.parse_args()
    model = find_model(arguments.model)
    method, device, on_cpu = load_method(model, arguments.device, arguments.precision, own_process=True)
    made_by = environment(device)
    print(environment_line(made_by), flush=True)
    if not on_cpu:
        from omf.inference.device_check import check_against_cpu  # imports torch, unlike classical methods

        check_against_cpu(method, model)
    own, photos = find_camera(model.camera), json.loads(arguments.photos.read_text())
    targets = find_cameras(photos["cameras"])
    carriages = {name: Carriage(own, target) for name, target in targets.items()}
    measured = infer(
        arguments.decoded,
        arguments.out,
        method,
        photos["scenes"],
        arguments.samples,
        carriages,
        photos["neutrals"],
    )
    save_json(arguments.timing, measured | {"device": device, "cpu": on_cpu, "environment": made_by})


if __name__ == "__main__":
    main()
