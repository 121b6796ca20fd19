"""The pages say what is so: settings, links, model cards, and the code that they show."""

import re
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from conftest import ROOT, files_of_the_project

from omf.models.registry import read_models

sys.path.insert(0, str(ROOT / "docs"))

import make_configuration

DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


PAGES = files_of_the_project("*.md")


def test_the_page_of_settings_is_what_is_generated():
    assert make_configuration.PAGE.read_text() == make_configuration.page(), (
        "run: python docs/make_configuration.py"
    )


def test_every_setting_has_a_description_and_the_default_that_config_yaml_says():
    config = yaml.safe_load(make_configuration.CONFIG.read_text())
    schema = yaml.safe_load(make_configuration.SCHEMA.read_text())
    commented = make_configuration.comments(make_configuration.CONFIG.read_text())
    names = []
    for name, setting in make_configuration.settings(schema):
        assert setting.get("description"), name
        assert commented.get(name) or setting.get("title"), name
        value = config
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None and name != "training":
            assert setting.get("default", value) == value, name
        names.append(name)
    assert commented.keys() <= set(names)  # nothing in config.yaml that the schema does not know


def test_a_setting_without_an_explanation_is_refused():
    with pytest.raises(ValueError, match="fun: explained 0 times"):
        make_configuration.row("fun", {"description": "true or false"}, {"fun": True}, {})


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {
        slug(heading) for heading in re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / unquote(path)).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        assert there.is_relative_to(ROOT.resolve()), f"{page.name}: {target} leads out of the repository"
        assert not anchor or anchor in anchors(there), f"{page.name}: {target}"


def test_each_formula_names_a_function_that_is_there():
    named = re.findall(r"\[`(\w+)`\]\(\.\./(omf/[\w/]+\.py)\)", (DOCS / "method.md").read_text())
    assert len(named) > 40
    for name, path in named:
        assert re.search(rf"^(def|class) {name}\b", (ROOT / path).read_text(), re.MULTILINE), (
            f"{path} has no {name}"
        )


def test_the_index_names_every_page_and_each_says_what_it_is_for():
    pages = [page for page in PAGES if page.parent == DOCS and page != INDEX]
    linked = LINK.findall(INDEX.read_text())
    for page in pages:
        assert linked.count(page.name) == 1, (
            f"{page.name} stands {linked.count(page.name)} times in docs/README.md"
        )
        heading, gap, first = page.read_text().splitlines()[:3]
        assert heading.startswith("# "), page.name
        assert not gap, page.name
        assert re.match(r"[A-Z][^|`#]", first), f"{page.name}: its first sentence does not say what it is for"


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


def test_the_citation_is_that_of_the_readme():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0"
    for needed in ("message", "title", "authors"):
        assert cited[needed]
    paper = cited["preferred-citation"]
    readme = (ROOT / "README.md").read_text()
    assert paper["title"] in readme
    assert str(paper["year"]) in readme
    authors = re.search(r"author=\{(.*)\}", readme)[1].split(" and ")
    assert authors == [f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]]
