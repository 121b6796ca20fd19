"""Bring a shard of demosaiced RAW to the challenge's packed Bayer format."""

import argparse
from pathlib import Path

from omf.errors import told_in_one_line
from omf.stages import mosaic


@told_in_one_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demosaiced", type=Path, help="folder of NAME.npy, float32 (H, W, 3)")
    parser.add_argument("--out", type=Path, required=True, help="folder for NAME.npy, uint16 (H/2, W/2, 4)")
    arguments = parser.parse_args()
    mosaic(arguments.demosaiced, arguments.out)


if __name__ == "__main__":
    main()
