"""How many photos tell their white balance in maker notes, by exiftool and by exiv2.

    python benchmarks/maker_notes.py FOLDER... --out benchmarks/maker_notes.md

FOLDERS of public test collections, such as test/data of exiv2's source, t/images of Image::ExifTool and
Tests/Data of metadata-extractor: JPEG, and metadata alone (.exv).
"""

from collections import Counter
from pathlib import Path

import exiv2
from reporting import head, make_parser, publish, row

from omf.io.cameras import camera_of_model
from omf.io.maker_notes import GainReader, ask_exiv2
from omf.utils.errors import cli_entry_point

SUFFIXES = {".jpg", ".jpeg", ".exv"}
MAKERS = ("Canon", "NIKON", "SONY", "OLYMPUS", "OM Digital", "Panasonic", "FUJIFILM", "PENTAX", "RICOH")
TOLERANCE = 0.002  # relative difference of gains that are the same


def maker_and_model(path: Path) -> tuple[str, str]:
    """Return maker and model of a file, empty if it has none."""
    try:
        image = exiv2.ImageFactory.open(str(path))
        image.readMetadata()
        exif = image.exifData()
        return exif["Exif.Image.Make"].toString().strip(), exif["Exif.Image.Model"].toString().strip()
    except (exiv2.Exiv2Error, KeyError):
        return "", ""


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    files = [file for folder in arguments.folders for file in sorted(folder.rglob("*"))]
    counts: dict[str, Counter] = {}
    with GainReader() as gains:
        for file in files:
            make, model = maker_and_model(file) if file.suffix.lower() in SUFFIXES else ("", "")
            maker = next((maker for maker in MAKERS if make.upper().startswith(maker.upper())), None)
            if maker is None:
                continue
            counter = counts.setdefault(maker, Counter())
            by_exiftool, by_exiv2 = gains(file), ask_exiv2(file)
            counter["files"] += 1
            counter["exiftool"] += by_exiftool is not None
            if by_exiftool and by_exiv2:
                same = all(abs(one / other - 1) < TOLERANCE for one, other in zip(by_exiftool, by_exiv2))
                counter["exiv2, the same" if same else "exiv2, others"] += 1
            counter["camera known to LibRaw"] += bool(by_exiftool and camera_of_model(make, model))
    columns = ("files", "exiftool", "exiv2, the same", "exiv2, others", "camera known to LibRaw")
    lines = head("maker", *columns)
    for maker, counter in (counts | {"all": sum(counts.values(), Counter())}).items():
        lines.append(row(maker, *(str(counter[column]) for column in columns)))
    publish(lines, arguments.out)


if __name__ == "__main__":
    main()
