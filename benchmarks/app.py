"""Time from a photo to all that the app shows of it, without the browser: at first, and after a slider.

python benchmarks/app.py PHOTO [PHOTO ...]
"""

import argparse
import statistics
import time
from pathlib import Path

from omf.app.views import draw_histograms, enlarge, make_views, tell_facts
from omf.app.workbench import Wish, Workbench
from omf.utils.errors import cli_entry_point

MODEL = "generic_phone"  # the app's first choice
STOPS = (1.0, -1.0, 0.5, -0.5, 0.25)  # of the slider


def show(bench: Workbench, stops: float) -> float:
    """Reconstruct the photo and make all that the page shows; return the seconds that it took."""
    began = time.perf_counter()
    answer = bench.reconstruct("visitor", Wish(MODEL, exposure=2**stops))
    make_views(answer)
    enlarge(answer)
    tell_facts(answer)
    draw_histograms(answer)
    return time.perf_counter() - began


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path, nargs="+")
    bench = Workbench("cpu")
    print("| photo | megapixels | at first, s | after a slider, s: median (least, most) |\n|---|---|---|---|")
    for photo in parser.parse_args().photos:
        bench.take("visitor", photo, keep=True)
        first, later = show(bench, 0), [show(bench, stops) for stops in STOPS]
        pixels = bench.reconstruct("visitor", Wish(MODEL, exposure=2 ** STOPS[-1])).picture.mask.size / 1e6
        spread = f"{statistics.median(later):.2f} ({min(later):.2f}, {max(later):.2f})"
        print(f"| {photo.stem} | {pixels:.1f} | {first:.2f} | {spread} |", flush=True)
    bench.close()


if __name__ == "__main__":
    main()
