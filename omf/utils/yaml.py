"""YAML that users write, read with bounds: a small file with aliases can stand for more than memory holds."""

import math

import yaml

MAX_VALUES, MAX_NESTING = 100_000, 20  # values in all, and levels of them

# what PyYAML raises on texts that are no YAML, and on values that are not what they seem
ERRORS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError)


class BoundedLoader(yaml.SafeLoader):
    """Plain values only, and an end to levels, and to merged mappings (<<), each of which can double the last."""

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


def parse_yaml(text: str) -> object:
    """The value that a text stands for. Raises ValueError, of one line, where it is no YAML or out of bounds."""
    try:
        tree = yaml.load(text, BoundedLoader)
    except ERRORS as error:
        raise ValueError(str(error).partition("\n")[0] or type(error).__name__) from error
    check_tree(tree)
    return tree


def check_tree(tree: object) -> None:
    """Raise ValueError where there are too many values, or numbers of which no setting can be."""
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
