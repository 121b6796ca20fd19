"""Source files that a pipeline step depends on: its script and the modules it imports. No torch here."""

import ast
import functools
import hashlib
from pathlib import Path

from omf.utils.paths import PACKAGE

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
    tree = ast.parse(path.read_bytes())
    names = set()
    for node in tree.body if path.name == "__init__.py" else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
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
