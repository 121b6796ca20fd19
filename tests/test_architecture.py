"""The structure of omf/ matches docs/architecture.md."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
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
    """Return the text of the page's fenced block `name`."""
    return re.search(rf"^```{name}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]


def layers() -> dict[str, int]:
    """Return the layer of each module, 0 for the top one."""
    layer_of: dict[str, int] = {}
    for layer, line in enumerate(block("layers").splitlines()):
        folder, *modules = line.split()
        for name in modules:
            layer_of[".".join([*folder.split("/")[1:], name])] = layer
    return layer_of


def imports(node: ast.AST, late: bool = True) -> Iterator[str]:
    """Yield the full names that a module imports, without TYPE_CHECKING; `late`: also inside functions."""
    for child in ast.iter_child_nodes(node):
        for_types_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if for_types_only or (isinstance(child, ast.FunctionDef) and not late):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, "a relative import"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        else:
            yield from imports(child, late)


def internal_imports(name: str, late: bool = True) -> set[str]:
    """Return the modules of omf/ that a module imports."""
    modules = set()
    for full in imports(TREES[name], late):
        if full.split(".")[0] == "omf":
            inner = full.removeprefix("omf.")
            modules.add(inner if inner in FILES else inner.rpartition(".")[0])
    return modules


def imported_packages(name: str, late: bool = True) -> set[str]:
    """Return the top-level packages that a module imports."""
    return {full.split(".")[0] for full in imports(TREES[name], late)}


PACKAGES = [name for name in FILES if name.endswith(".__init__")]


def test_every_module_is_on_the_page():
    assert layers().keys() == FILES.keys() - set(PACKAGES)


def test_package_inits_import_nothing():
    assert not [name for name in PACKAGES if internal_imports(name)]


@pytest.mark.parametrize("name", sorted(FILES.keys() - set(PACKAGES)))
def test_a_module_imports_only_from_its_layer_or_below(name):
    layer_of = layers()
    for imported in internal_imports(name):
        assert layer_of[imported] >= layer_of[name], f"{name} imports {imported}"


def test_no_circular_imports():
    TopologicalSorter({name: internal_imports(name) - {name} for name in FILES}).prepare()


def test_torch_imports_match_the_page_and_snakemake_is_never_imported():
    assert {name for name in FILES if "torch" in imported_packages(name)} == set(block("torch").split())
    assert not [name for name in FILES if "snakemake" in imported_packages(name)]


def test_modules_without_torch_do_not_load_it_indirectly():
    promised = [name for name, tree in TREES.items() if "No torch here" in (ast.get_docstring(tree) or "")]
    assert len(promised) > 5
    for name in promised:
        seen, pending = set(), {name}
        while pending:
            module = pending.pop()
            seen.add(module)
            assert "torch" not in imported_packages(module, late=False), f"{name} loads torch via {module}"
            pending |= internal_imports(module, late=False) - seen


def test_names_in_the_tables_exist():
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


def defined_names(tree: ast.Module) -> set[str]:
    """Return the names that a module defines at its top level."""
    definitions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    parts = [part for target in targets for part in ast.walk(target)]
    return {node.name for node in definitions} | {part.id for part in parts if isinstance(part, ast.Name)}


def test_a_name_has_one_meaning():
    modules: dict[str, list[str]] = {}
    for module, tree in TREES.items():
        for name in defined_names(tree):
            modules.setdefault(name, []).append(module)
    assert not {name: found for name, found in modules.items() if len(found) > 1}


def test_docstrings_begin_with_a_verb_or_a_noun():
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                docstring = ast.get_docstring(node) or ""
                assert not re.match("(Which|Where|Whether|How|Why|As|Of) ", docstring), (module, docstring)
                assert "What " not in docstring, (module, docstring)
