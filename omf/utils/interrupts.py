"""To be imported first by programs: Ctrl-C ends them without a traceback while they import the rest.

`omf.utils.errors.cli_entry_point` then makes it an exception, so that partial files are removed.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as under nohup
    signal.signal(signal.SIGINT, signal.SIG_DFL)
