"""The files of the program that a step depends on: its script, and what that imports of `omf`. No torch here."""

import ast
import functools
import hashlib
from pathlib import Path

from omf.utils.paths import PACKAGE

DATA = {
    PACKAGE / "report" / "page.py": PACKAGE / "report" / "templates"
}  # folders of what a module reads besides


def fingerprint(script: Path) -> str:
    """Return a hash of all files that decide what a script does."""
    digest = hashlib.sha256()
    for path in source_files(script):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def source_files(script: Path) -> list[Path]:
    """Return a script and the files of `omf` that it may load, sorted.

    These are the modules that it imports, directly or through others, also those that a function imports when it is called; and
    what these read, see `DATA`.
    """
    found, ahead = set(), {script}
    while ahead:
        path = ahead.pop()
        found.add(path)
        ahead |= imported_files(path) - found
    data = {file for module, folder in DATA.items() if module in found for file in folder.iterdir()}
    return sorted(found | data)


@functools.cache
def imported_files(path: Path) -> frozenset[Path]:
    """Return the files of `omf` that the imports in one file load, packages' `__init__.py` included.

    The imports inside functions of an `__init__.py` serve its users from outside, and are not followed.
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
    """Return the files that importing `omf.a.b` loads; none for the name of another package, or of what stands inside a module."""
    first, *inner = name.split(".")
    if first != PACKAGE.name:
        return []
    packages = [PACKAGE.joinpath(*inner[:depth], "__init__.py") for depth in range(len(inner) + 1)]
    module = PACKAGE.joinpath(*inner).with_suffix(".py")
    return [file for file in (*packages, module) if file.is_file()]
