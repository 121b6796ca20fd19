"""The library leaves the process that uses it as it was, and works under that process's settings."""

import sys

from conftest import ROOT, run

HOST = """
import gc, importlib, locale, logging, multiprocessing, os, pkgutil, random, signal, sys, threading, warnings
from pathlib import Path

import numpy as np
import PIL.Image
import torch


def state():
    cudnn, matmul = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    logs = {name: logging.getLogger(name) for name in (None, "omf", "PIL", "tifffile")}
    return {
        "size limit": PIL.Image.MAX_IMAGE_PIXELS,
        "warnings": [entry for entry in warnings.filters if "PIL" in str(entry) or entry[0] == "error"],
        "logs": {name: (log.level, log.handlers[:], log.propagate) for name, log in logs.items()},
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads(), threading.active_count()),
        "defaults": (torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "precision": (torch.get_float32_matmul_precision(), cudnn.fp32_precision, matmul.fp32_precision),
        "random": (torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()),
        "environment": dict(os.environ),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "locale": locale.setlocale(locale.LC_ALL),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "numpy": np.geterr(),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook, gc.get_threshold()),
        "folder": os.getcwd(),
    }


torch.set_num_threads(1)
PIL.Image.MAX_IMAGE_PIXELS = 10_000
warnings.simplefilter("error")
model, out, photos = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
before = state()


def check(step):
    print(step, [key for key, value in state().items() if value != before[key]])


import omf

for module in pkgutil.walk_packages(omf.__path__, "omf."):
    # programs: of the app's page, Gradio seeds `random` when it is imported
    if module.name not in ("omf.__main__", "omf.utils.program", "omf.app.page"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of other packages
            importlib.import_module(module.name)
check("import")
from omf.evaluation.scores import match_items, score_all
from omf.inference import devices
from omf.io.images import read_rgb
from omf.raw.camera import load_camera

devices.keep_freed_memory = lambda: print("changes malloc")
rgb = read_rgb(photos / "coffee.jpg").copy()
check("read")
raw = omf.Reconstructor(model, device="cpu").predict(rgb)
omf.Reconstructor(model, device="cpu").demosaiced(torch.from_numpy(rgb).permute(2, 0, 1) / 255)
check("predict")
omf.write_dng(raw, out / "a.dng", photo=rgb[: 2 * len(raw), : 2 * raw.shape[1]])
check("write")
np.save(out / "a.npy", (raw * 1024).astype(np.uint16))
items = match_items({"a": out / "a.npy"}, {"a": out / "a.npy"}, {})
records, problems = score_all(items, load_camera("samsung_s7"), 1)
assert records and not problems
check("score")
"""


def test_the_process_stays_as_it_was(tmp_path, tiny_base_model):
    answer = run(sys.executable, "-c", HOST, tiny_base_model, tmp_path, ROOT / "test_rgb")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == [
        f"{step} []" for step in ("import", "read", "predict", "write", "score")
    ]
