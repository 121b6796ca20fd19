"""Bounded YAML parser: a small file with aliases can expand to more than the memory."""

import math
from contextlib import suppress

import yaml

MAX_VALUES, MAX_NESTING = 100_000, 20  # values in total, levels

# exceptions that PyYAML raises on invalid YAML, and on values that do not match their tag
ERRORS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError)


class BoundedLoader(yaml.SafeLoader):
    """Loader of plain values with limits on nesting and on merged mappings (<<), each of which can double."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node:
        if self.depth > MAX_NESTING:
            raise ValueError(f"more than {MAX_NESTING} levels of values")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values")


class NamesLoader(BoundedLoader):
    """Loader that leaves the outermost keys as they are written: 2024, on and null are names."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key.tag = "tag:yaml.org,2002:str"
        return node


def parse_names(text: str) -> dict[str, object]:
    """Parse a mapping whose keys are names, {} if it is empty. Raises ValueError as `parse_yaml` does."""
    entries = parse_yaml(text, names=True)
    if not isinstance(entries, dict | None):
        raise ValueError("not a mapping from names")
    return entries or {}


def set_entry(text: str, name: str, value: object) -> str:
    """Return the text of a mapping with an entry replaced, or added; the others keep their comments."""
    wanted = parse_names(text) | {name: value}
    node = yaml.compose(text, NamesLoader)
    keys = [key for key, _ in node.value] if node else []
    starts = [key.start_mark.index for key in keys] + [len(text)]
    others = [text[start:end] for key, start, end in zip(keys, starts, starts[1:]) if key.value != name]
    start = "".join((text[: starts[0]], *others)).rstrip()
    changed = f"{start}\n\n{yaml.safe_dump({name: value}, sort_keys=False)}".lstrip()
    with suppress(ValueError):
        if parse_names(changed) == wanted:
            return changed
    return yaml.safe_dump(wanted, sort_keys=False)  # a mapping in braces, for example


def parse_yaml(text: str, names: bool = False) -> object:
    """Parse a text; `names`: see `NamesLoader`. Raises ValueError, on one line, if it is invalid or large."""
    try:
        tree = yaml.load(text, NamesLoader) if names else yaml.load(text, BoundedLoader)
    except ERRORS as error:
        raise ValueError(str(error).partition("\n")[0] or type(error).__name__) from error
    check_tree(tree)
    return tree


def check_tree(tree: object) -> None:
    """Raise ValueError if there are too many values, or numbers that are not finite or exceed 64 bits."""
    count, waiting = 0, [(tree, 0)]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > MAX_VALUES or depth > MAX_NESTING:
            raise ValueError(f"more than {MAX_VALUES} values, or more than {MAX_NESTING} levels of them")
        if isinstance(value, dict):
            waiting += ((part, depth + 1) for entry in value.items() for part in entry)
        elif isinstance(value, list | tuple | set):
            waiting += ((part, depth + 1) for part in value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"the number {value}; give finite ones")
        elif isinstance(value, int) and abs(value) >= 2**63:
            raise ValueError("a whole number of more than 63 bits; give smaller ones")
