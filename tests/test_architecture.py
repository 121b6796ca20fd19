"""omf/ is built as docs/architecture.md says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGE = ROOT / "omf"
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def block(name: str) -> str:
    return re.search(rf"^```{name}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]


def layers() -> dict[str, int]:
    """Return the layer of each module, 0 for the top one."""
    layer_of: dict[str, int] = {}
    for layer, line in enumerate(block("layers").splitlines()):
        folder, *modules = line.split()
        for name in modules:
            layer_of[".".join([*folder.split("/")[1:], name])] = layer
    return layer_of


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(node: ast.AST, late: bool = True) -> Iterator[str]:
    """The full names that a module imports; `late`: those inside functions too. Imports for type checkers don't count."""
    for child in ast.iter_child_nodes(node):
        if is_for_types(child) or (isinstance(child, ast.FunctionDef) and not late):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, "an import that is relative"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        else:
            yield from imports(child, late)


def own(name: str, late: bool = True) -> set[str]:
    """The modules of omf/ that one of them imports."""
    found = set()
    for full in imports(TREES[name], late):
        if full.split(".")[0] == "omf":
            inner = full.removeprefix("omf.")
            found.add(inner if inner in FILES else inner.rpartition(".")[0])
    return found


def others(name: str, late: bool = True) -> set[str]:
    """The packages that it imports."""
    return {full.split(".")[0] for full in imports(TREES[name], late)}


PACKAGES = [name for name in FILES if name.endswith(".__init__")]  # those of the folders


def test_every_module_is_on_the_page():
    assert layers().keys() == FILES.keys() - set(PACKAGES)


def test_folders_import_nothing():
    assert not [name for name in PACKAGES if own(name)]


@pytest.mark.parametrize("name", sorted(FILES.keys() - set(PACKAGES)))
def test_a_module_imports_only_from_its_own_layer_and_those_below(name):
    layer_of = layers()
    for imported in own(name):
        assert layer_of[imported] >= layer_of[name], f"{name} imports {imported}"


def test_there_is_no_circle():
    left = {name: own(name) - {name} for name in FILES}
    while free := [name for name, needed in left.items() if not needed & left.keys()]:
        for name in free:
            del left[name]
    assert not left


def test_torch_is_imported_where_the_page_says_and_snakemake_nowhere():
    assert {name for name in FILES if "torch" in others(name)} == set(block("torch").split())
    assert not [name for name in FILES if "snakemake" in others(name)]


def test_where_it_says_no_torch_there_is_none_behind_it_either():
    promised = [name for name, tree in TREES.items() if "No torch here" in (ast.get_docstring(tree) or "")]
    assert len(promised) > 5
    for name in promised:
        seen, ahead = set(), {name}
        while ahead:
            module = ahead.pop()
            seen.add(module)
            assert "torch" not in others(module, late=False), f"{name} loads torch through {module}"
            ahead |= own(module, late=False) - seen


def test_the_tables_name_what_is_there():
    for name in re.findall(r"`(omf(?:\.\w+)+)`", PAGE):
        parts = name.split(".")[1:]
        module = next(
            (".".join(parts[:n]) for n in (len(parts), len(parts) - 1) if ".".join(parts[:n]) in FILES), None
        )
        if module is None:
            assert name == "omf.Reconstructor" or (PACKAGE / parts[0] / "__init__.py").is_file(), name
        elif len(parts) > len(module.split(".")):
            assert re.search(rf"^(def|class) {parts[-1]}\b", FILES[module].read_text(), re.MULTILINE), name
    for path in re.findall(r"`((?:scripts|workflow|omf)/[\w/]+\.\w+)`", PAGE):
        assert (ROOT / Path(path)).is_file(), path
