"""Each promise of docs/reliability.md names existing tests."""

import ast
import re

import pytest
from conftest import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")
PROMISES = [
    row
    for row in re.findall(r"^\| (?!guarantee|reader|---)(.*) \|$", PAGE, flags=re.MULTILINE)
    if not re.match(r"\w+ \| \d", row)
]


def test_there_are_promises():
    assert len(PROMISES) > 25


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_names_existing_tests(promise):
    named = re.findall(r"`((?:tests/)?[\w/]*test_\w+\.py)(?:::(\w+))?`", promise)
    assert named or "the same" in promise
    for file, function in named:
        path = ROOT / file if file.startswith("tests/") else ROOT / "tests" / "faults" / file
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        functions = [node.name for node in nodes if isinstance(node, ast.FunctionDef)]
        assert not function or function in functions, function
        assert any(name.startswith("test_") for name in functions)
