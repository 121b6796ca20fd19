"""The challenge's formats: packed RAW files, scores, readme.txt and submission.zip."""

import os
import shutil
import zipfile
from pathlib import Path
from tokenize import TokenError

import numpy as np

from omf.bayer import WHITE_LEVEL, dequantise
from omf.errors import InputError
from omf.files import save_text, written_whole
from omf.inputs import check_is_file
from omf.metrics import psnr, ssim
from omf.terminal import progress

# what NumPy raises on what is no header of .npy, or looks like an archive
HEADER_ERRORS = (TypeError, LookupError, TokenError, SyntaxError, RuntimeError, OverflowError, zipfile.BadZipFile)
README = "readme.txt"
SCORES_FILE = "scores.txt"
ARCHIVE = "submission.zip"
RAW_SUFFIXES = (".npy", ".npz", ".png", ".dng")  # that a run may leave
# AIM 2022 Reversed ISP, Samsung S7 track, test 1 (Conde et al. 2022): team, PSNR, SSIM
LEADERBOARD_S7 = [
    ("NOAHTCV", 31.86, 0.83),
    ("MiAlgo", 31.39, 0.82),
    ("SenseBrains (this method)", 28.36, 0.80),
    ("UPI", 26.90, 0.78),
    ("CycleISP", 26.75, 0.78),
    ("U-Net", 26.30, 0.77),
]


def list_packed(folder: Path) -> dict[str, Path]:
    """The .npy files of a folder by name. Raises InputError where there is no such folder."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that holds NAME.npy files")
    return {path.stem: path for path in sorted(folder.glob("*.npy")) if not path.name.startswith(".")}


def read_packed(path: Path, white_level: int = WHITE_LEVEL) -> np.ndarray:
    """Read a packed Bayer file: uint16 (H/2, W/2, 4), counts up to its white level.

    Returns:
        Counts of which 1024 are white: as stored, or of another white level float64.

    Raises:
        InputError: the file is not one.
    """
    check_is_file(path, "a .npy file of uint16 (H/2, W/2, 4)")
    try:
        counts = np.load(path, mmap_mode="r", allow_pickle=False)  # a header that claims more than the file holds takes no memory
    except (OSError, ValueError, EOFError, *HEADER_ERRORS) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        if "pickle" in reason:  # numpy's advice is to load it nevertheless, which may run what it holds
            reason = "not an array of numbers"
        raise InputError(f"{path}: can't be read ({reason}); give a .npy file of uint16 (H/2, W/2, 4)") from error
    if not isinstance(counts, np.ndarray) or counts.ndim != 3 or counts.shape[-1] != 4 or counts.dtype != np.uint16:
        found = f"{counts.dtype} {counts.shape}" if isinstance(counts, np.ndarray) else "an archive"
        raise InputError(f"{path}: {found}; give uint16 (H/2, W/2, 4), planes R, Gr, Gb, B")
    if counts.max(initial=0) > white_level:
        raise InputError(f"{path}: counts up to {counts.max()}; the white level is {white_level}: scale it to that, or name its challenge")
    return np.array(counts) if white_level == WHITE_LEVEL else np.asarray(counts) * float(WHITE_LEVEL) / white_level


def score(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The challenge's scores of one image: uint16 (H/2, W/2, 4) each -> {"psnr": dB, "ssim": ...}."""
    predicted, truth = dequantise(predicted), dequantise(truth)
    return {"psnr": psnr(predicted, truth), "ssim": ssim(predicted, truth)}


def readme_text(runtime: float, on_cpu: bool, extra_data: bool, description: str) -> str:
    """The four lines that the scorer reads; `runtime` in seconds per image."""
    return (
        f"runtime per image [s] : {runtime:.4f}\n"
        f"CPU[1] / GPU[0] : {int(on_cpu)}\n"
        f"Extra Data [1] / No Extra Data [0] : {int(extra_data)}\n"
        f"Other description : {description}\n"
    )


def scores_text(psnr: float, ssim: float, readme: str) -> str:
    """The scorer's answer, scores.txt: means over the images, then what the entry's readme.txt says."""
    runtime, on_cpu, extra_data = (line.partition(" : ")[2].strip() for line in readme.splitlines()[:3])
    values = {"PSNR": psnr, "SSIM": ssim, "ExtraRuntime": runtime, "ExtraPlatform": on_cpu, "ExtraData": extra_data}
    return "".join(f"{key}:{value}\n" for key, value in values.items())


def write_submission(raws: list[Path], readme: str, out: Path, zipped: bool = True) -> list[Path]:
    """Leave the entry in `out`: the RAW files, readme.txt and, unless the format is no challenge's, the zip of exactly these.

    Other RAW files in `out` are those of an earlier run and are removed, and so is its zip.

    Returns:
        The files of the entry.
    """
    if not raws:
        raise InputError("no image could be reconstructed, so there is nothing to submit; see the list of problems")
    out.mkdir(parents=True, exist_ok=True)
    for stale in {path.name for suffix in RAW_SUFFIXES for path in out.glob(f"*{suffix}")} - {raw.name for raw in raws}:
        (out / stale).unlink()
    for raw in raws:
        place(raw, out / raw.name)
    save_text(out / README, readme)
    files = [out / README, *(out / raw.name for raw in sorted(raws))]
    if not zipped:
        (out / ARCHIVE).unlink(missing_ok=True)
        return files
    with written_whole(out / ARCHIVE) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path in progress(files, ARCHIVE, unit="file"):
            # a fixed date: the same files give the same bytes
            entry = zipfile.ZipInfo(path.name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=1)  # 6 takes 5 times as long for 6 % less
    return [*files, out / ARCHIVE]


def place(source: Path, target: Path) -> None:
    """Put a finished file under a second name: a hard link where the file system can, else a copy."""
    with written_whole(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
