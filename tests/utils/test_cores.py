import os
import subprocess
import sys

import pytest
from conftest import ROOT

from omf.utils.cores import available_cores


def test_only_the_cores_of_the_process_count():
    """In a batch job `os.cpu_count` counts those of the whole machine."""
    if available_cores() < 2:
        pytest.skip("needs two cores")
    first = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{first}]); from omf.utils.cores import available_cores;"
    answer = subprocess.run(
        [sys.executable, "-c", f"{code} print(available_cores())"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert answer.stdout == "1\n"
