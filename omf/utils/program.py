"""To be imported first by programs: what has to be set before they import the rest.

Ctrl-C ends them without a traceback meanwhile; `omf.utils.errors.cli_entry_point` then makes it an
exception, so that partial files are removed. OpenMP's threads sleep while they wait: spinning, they are slow
on cores that other programs use.
"""

import os
import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as under nohup
    signal.signal(signal.SIGINT, signal.SIG_DFL)
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # PyTorch reads it when it is imported
