"""Source files that a pipeline step depends on: its script and the modules it imports. No torch here."""

import functools
import hashlib
import re
from pathlib import Path

from omf.utils.paths import PACKAGE

# an import: its indentation, the module of `from`, and what is imported, in parentheses if on several lines;
# to parse all modules takes as long as all else before a run starts
IMPORT = re.compile(r"^([ \t]*)(?:from\s+([\w.]+)\s+)?import\b[ \t]*(\([^)]*\)|[^\n]*)", re.MULTILINE)
DATA = {"report/summary.py": "report/templates"}  # {module: folder of the files it reads}, in the package


def fingerprint(script: Path) -> str:
    """Return the SHA-256 over all source files that determine the behaviour of a script."""
    digest = hashlib.sha256()
    for path in source_files(script):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def source_files(script: Path) -> list[Path]:
    """Return a script and the files of `omf` that it may load, sorted.

    Includes all modules that it imports, directly or indirectly, also inside functions, and the data files
    that these read, see `DATA`.
    """
    visited, pending = set(), {script}
    while pending:
        path = pending.pop()
        visited.add(path)
        pending |= imported_files(path) - visited
    folders = [PACKAGE / folder for module, folder in DATA.items() if PACKAGE / module in visited]
    return sorted(visited.union(*(folder.iterdir() for folder in folders)))


@functools.cache
def imported_files(path: Path) -> frozenset[Path]:
    """Return the files of `omf` that the imports in one file load, including the `__init__.py` of packages.

    Imports inside functions of an `__init__.py` are not followed: they serve external users only.
    """
    names = set()
    for indentation, module, imported in IMPORT.findall(re.sub("#.*", "", path.read_text("utf-8"))):
        if not (indentation and path.name == "__init__.py"):
            parts = [part.split() for part in imported.strip("() \t").split(",")]
            names |= {module, *(f"{module}.{name}".strip(".") for name, *_ in filter(None, parts))}
    return frozenset(file for name in names for file in module_files(name))


def module_files(name: str) -> list[Path]:
    """Return the files that importing `omf.a.b` loads: the module and the `__init__.py` of its packages.

    A name defined inside a module yields only the packages' files; another package's name yields none.
    """
    first, *inner = name.split(".")
    if first != PACKAGE.name:
        return []
    packages = [PACKAGE.joinpath(*inner[:depth], "__init__.py") for depth in range(len(inner) + 1)]
    module = PACKAGE.joinpath(*inner).with_suffix(".py")
    return [file for file in (*packages, module) if file.is_file()]
