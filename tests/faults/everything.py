"""Write all outputs that must be reproducible: python everything.py OUT PHOTO..."""

import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from omf.evaluation.scores import match_items, score_all, summarise
from omf.inference.load import load_method
from omf.io.packed import list_packed
from omf.io.photos import map_by_name
from omf.io.raw_formats import Noise, RawFormat, Writer
from omf.models.registry import find_model
from omf.pipeline.predict import predict
from omf.pipeline.submission import write_submission
from omf.raw.camera import load_camera
from omf.report.page import draw_plots, rank_images, render_page, select_examples
from omf.report.panels import make_thumbnails
from omf.report.summary import entry_readme, run_summary, write_scores
from omf.utils.files import save_text

NOISE = Noise(1e-3, 1e-6)
FORMATS = {
    "npy": RawFormat(),
    "noisy": RawFormat(noise=NOISE),
    "mosaic": RawFormat("mosaic", 14, 16383, 64, "BGGR"),
    "npz": RawFormat("npz", 14, 16383),
    "png": RawFormat("png", 14, 16383, noise=NOISE),
    "dng": RawFormat("dng", 14, 16383, noise=NOISE, gps=True),
}


def main() -> None:
    out, photos = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    model, camera = find_model("samsung_s7"), load_camera("samsung_s7")
    method, device, _ = load_method(model, "cpu")
    print(device)
    writers = {kind: Writer(out / kind, written, camera, model.name) for kind, written in FORMATS.items()}

    class InAllFormats:
        format = None

        def __call__(self, name: str, photo: Path, raw: np.ndarray, rgb: np.ndarray, **other) -> None:
            for write in writers.values():
                write(name, photo, raw, rgb, **other)

    InAllFormats.camera = camera
    assert predict(photos, method, InAllFormats()) == []
    carried = replace(writers["dng"], folder=out / "carried")
    assert predict(photos, method, carried, asked_camera=lambda photo: "huawei_p20") == []
    # converted to counts by the method itself
    assert predict(photos, method, replace(writers["npy"], folder=out / "packed")) == []
    readme = entry_readme(model, {"seconds_per_image": 1.0, "cpu": True, "device": "CPU"})
    write_submission(sorted((out / "noisy").iterdir()), readme, out / "entry")
    ground_truth = list_packed(Path(__file__).parents[2] / "test_raw")
    records, _ = score_all(
        match_items(list_packed(out / "npy"), ground_truth, map_by_name(photos)[0]), camera, 1
    )
    scores = summarise(records)
    write_scores(scores, readme, out / "scores")
    summary = run_summary(model.name, camera.name, {"images": len(records)}, scores, [])
    save_text(
        out / "page" / "report.html",
        render_page(
            summary,
            scores,
            select_examples(records),
            make_thumbnails(records, rank_images(records)),
            draw_plots(records, {}),
            datetime(2026, 1, 2),
        ),
    )


if __name__ == "__main__":
    main()
