"""The documentation is consistent with the code: settings, links, model cards and function names."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from conftest import ROOT, project_files
from test_cli import all_commands

from omf import cli
from omf.models.registry import read_models
from omf.pipeline.config import Config

sys.path.insert(0, str(ROOT / "tools"))

import make_configuration

DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGES = project_files("*.md")


@pytest.mark.parametrize("name", ["config", "schema", "page"])
def test_generated_files_are_up_to_date(name):
    path, text = getattr(make_configuration, name.upper()), getattr(make_configuration, f"{name}_text")()
    assert path.read_text() == text, "run: python tools/make_configuration.py"


def test_every_setting_has_a_description():
    for section, name, row in make_configuration.rows(Config):
        assert not re.search(r"\| +\|.*\|.*\|$", row), (section, name)


def slug(heading: str) -> str:
    """Return GitHub's anchor of a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return set(map(slug, re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page):
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / unquote(path)).resolve() if path else page
        assert linked.exists(), f"{page.name}: {target}"
        assert linked.is_relative_to(ROOT.resolve()), f"{page.name}: {target} leads out of the repository"
        assert not anchor or anchor in anchors(linked), f"{page.name}: {target}"


def test_functions_named_beside_formulas_exist():
    named = re.findall(r"\[`(\w+)`\]\(\.\./(omf/[\w/]+\.py)\)", (DOCS / "method.md").read_text())
    assert len(named) > 40
    for name, path in named:
        defined = re.search(rf"^(def|class) {name}\b", (ROOT / path).read_text(), re.MULTILINE)
        assert defined, f"{path} has no {name}"


def test_the_index_lists_every_page_and_each_begins_with_a_summary():
    pages = [page for page in PAGES if page.parent == DOCS and page != INDEX]
    linked = LINK.findall(INDEX.read_text())
    for page in pages:
        assert linked.count(page.name) == 1, f"{page.name} is not linked once in docs/README.md"
        heading, gap, first = page.read_text().splitlines()[:3]
        assert heading.startswith("# "), page.name
        assert not gap, page.name
        assert re.match(r"[A-Z][^|`#]", first), f"{page.name}: it does not begin with a summary"


@pytest.mark.parametrize("name", read_models())
def test_every_listed_model_has_a_card(name):
    card = (ROOT / "trained_models" / name / "README.md").read_text()
    _, header, text = card.split("---\n", 2)
    assert "reverse-isp" in yaml.safe_load(header)["tags"]
    assert re.search(rf"^# {name}$", text, re.MULTILINE)
    model = read_models()[name]
    assert model.camera in text
    for file in model.files:
        assert f"`{file.path.name}`" in text


def names_and_places() -> Iterator[tuple[str, str]]:
    """Yield what a user looks for, as it is written, and the pages to look in, one of which must have it."""
    pages = "README.md CONTRIBUTING.md docs/*.md"
    for name in read_models():
        yield f"`{name}`", "config/README.md"
        yield f"`{name}`", "docs/README.md"
    for profile in project_files("cameras/*.yaml"):
        yield f"`{profile.stem}`", "docs/cameras.md"
    for command in all_commands(cli.parser()):
        yield f"omf {' '.join(command)}", "README.md docs/*.md"
    for extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]:
        yield f"`{extra}`", "CONTRIBUTING.md" if extra in ("build", "docs", "dev") else "README.md"
    for tool in (*(ROOT / "tools").glob("*.py"), *(ROOT / "tools").rglob("*.sh")):
        yield tool.name, pages


@pytest.mark.parametrize(("name", "pages"), sorted(names_and_places()))
def test_a_name_is_where_a_user_looks_for_it(name, pages):
    texts = [page.read_text() for pattern in pages.split() for page in ROOT.glob(pattern)]
    if pages == "README.md":
        texts = [re.search(r"^## Installation$(.*?)^## ", texts[0], re.MULTILINE | re.DOTALL)[1]]
    assert any(re.search(re.escape(name) + r"(?!\w)", text) for text in texts), f"{name}: not in {pages}"


def test_the_citation_matches_the_readme():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0"
    assert cited["message"] and cited["title"] and cited["authors"]
    paper = cited["preferred-citation"]
    readme = (ROOT / "README.md").read_text()
    assert paper["title"] in readme
    assert str(paper["year"]) in readme
    authors = re.search(r"author=\{(.*)\}", readme)[1].split(" and ")
    assert authors == [f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]]
