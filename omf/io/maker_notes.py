"""White balance that the camera noted in a photo: its as-shot gains, from maker notes.

exiftool reads those of Canon, Nikon, Sony, Olympus, Panasonic and Pentax. Where it is not installed, the
package exiv2 reads those that it knows: of Nikon, Olympus, Panasonic and Pentax. Fujifilm's JPEG has none.
"""

import json
import shutil
import subprocess
import threading
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from omf.io.local_files import local_file
from omf.utils.errors import InputError

GAIN_LIMITS = 0.5, 8.0  # of red and blue over green; others are no white balance
EXIFTOOL = ("exiftool", "-stay_open", "True", "-@", "-")
EXIFTOOL_TAGS = ("-RedBalance", "-BlueBalance", "-Pentax:WhitePoint")  # the third holds R, G, G and B
READY = "{ready}"  # ends an answer of exiftool
# Tags in exiv2's names: red, green or None for a green of the given value, blue; and the index in each
EXIV2_TAGS = (
    (("Exif.Nikon3.WB_RBLevels", 0), (None, 1), ("Exif.Nikon3.WB_RBLevels", 1)),
    (("Exif.OlympusIp.WB_RBLevels", 0), (None, 256), ("Exif.OlympusIp.WB_RBLevels", 1)),
    (("Exif.Olympus.RedBalance", 0), (None, 256), ("Exif.Olympus.BlueBalance", 0)),
    (("Exif.Panasonic.WBRedLevel", 0), ("Exif.Panasonic.WBGreenLevel", 0), ("Exif.Panasonic.WBBlueLevel", 0)),
    *(tuple((f"Exif.{group}.WhitePoint", place) for place in (0, 1, 3)) for group in ("Pentax", "PentaxDng")),
)


class GainReader:
    """Reader of as-shot gains, by exiftool or exiv2; threads may share it. Raises InputError without both."""

    def __init__(self):
        self.lock, self.process = threading.Lock(), None
        if shutil.which(EXIFTOOL[0]) is None:
            import_exiv2()

    def __enter__(self) -> "GainReader":
        if shutil.which(EXIFTOOL[0]):
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self.process = subprocess.Popen(EXIFTOOL, text=True, encoding="utf-8", errors="replace", **pipes)
        return self

    def __exit__(self, *error: object) -> None:
        if self.process:
            with suppress(OSError, subprocess.TimeoutExpired):
                self.process.communicate("-stay_open\nFalse\n", timeout=10)
            self.process.kill()
            self.process.wait()

    def __call__(self, photo: Path) -> tuple[float, float] | None:
        """Return the gains of red and blue over green, or None if there are none, or absurd ones."""
        read = self.ask_exiftool if self.process else ask_exiv2
        with local_file(photo) as file:
            gains = read(file)
        low, high = GAIN_LIMITS
        return gains if gains and all(low <= gain <= high for gain in gains) else None

    def ask_exiftool(self, photo: Path) -> tuple[float, float] | None:
        """Return the gains that exiftool reads, or None."""
        path = str(photo.absolute())  # never an option or a comment
        if not path.isprintable():  # nor two lines
            return None
        arguments = ["-j", "-n", "-fast", "-charset", "filename=utf8", *EXIFTOOL_TAGS, path]
        answer = []
        with self.lock:
            try:
                self.process.stdin.write("\n".join([*arguments, "-execute\n"]))
                self.process.stdin.flush()
                while (line := self.process.stdout.readline()) and line.strip() != READY:
                    answer.append(line)
            except OSError:  # it has ended
                return None
        with suppress(ValueError, LookupError, TypeError, AttributeError, ZeroDivisionError):
            (found,) = json.loads("".join(answer))
            if "WhitePoint" in found:
                red, green, _, blue = map(int, found["WhitePoint"].split())
                return red / green, blue / green
            return float(found["RedBalance"]), float(found["BlueBalance"])
        return None


def import_exiv2():
    """Import exiv2, the optional dependency. Raises InputError if it is not installed."""
    try:
        import exiv2
    except ImportError:
        raise InputError(
            "neutral auto needs exiftool (Debian: apt install libimage-exiftool-perl), or exiv2; install that"
            " with: pip install 'overexposure-mask-fusion[metadata]'"
        ) from None
    return exiv2


def ask_exiv2(photo: Path) -> tuple[float, float] | None:
    """Return the gains that exiv2 reads, or None."""
    exiv2 = import_exiv2()
    exiv2.LogMsg.setLevel(exiv2.LogMsg.Level.mute)
    try:
        image = exiv2.ImageFactory.open(str(photo))
        image.readMetadata()
        exif = image.exifData()
    except (exiv2.Exiv2Error, UnicodeEncodeError):
        return None
    for tags in EXIV2_TAGS:
        with suppress(ValueError, LookupError, ZeroDivisionError):
            red, green, blue = (
                Fraction(exif[tag].toString().split()[place]) if tag else Fraction(place)
                for tag, place in tags
            )
            return float(red / green), float(blue / green)
    return None
