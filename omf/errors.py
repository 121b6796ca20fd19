"""The one exception that a user is meant to see."""

import functools
import sys
from collections.abc import Callable


class InputError(Exception):
    """A wrong input, told in one line: which file, what is wrong, what would be right."""


def told_in_one_line(main: Callable[[], int | None]) -> Callable[[], None]:
    """Make a program of `main`: a wrong input, or a file that can't be written, ends it with one line and exit code 1."""

    @functools.wraps(main)
    def program() -> None:
        try:
            sys.exit(main())
        except InputError as error:
            sys.exit(f"error: {error}")
        except OSError as error:
            sys.exit(f"error: {error.filename or 'a file'}: {error.strerror or error}")
        except KeyboardInterrupt:
            sys.exit(130)

    return program
