"""The documentation as a site: it is built without the network, and a broken link is an error."""

import ast
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import ROOT, project_files, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = run(ROOT / "tools" / "site" / "build.sh", folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Addresses(HTMLParser):
    """Collect what a page loads, and what it links to."""

    def __init__(self, page: Path):
        super().__init__()
        self.loaded, self.linked = set(), set()
        self.feed(page.read_text())

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag in ("script", "img", "iframe") and values.get("src"):
            self.loaded.add(values["src"])
        if tag == "link" and values.get("rel") in ("stylesheet", "icon"):
            self.loaded.add(values["href"])
        if tag == "a" and values.get("href"):
            self.linked.add(values["href"])


def local(page: Path, address: str) -> Path:
    """Return the file of a relative address, which may have percent signs and a fragment."""
    return page.parent / unquote(urlsplit(address).path)


def test_pages_load_nothing_from_elsewhere_and_link_to_files_that_exist(site):
    pages = [page for page in site.rglob("*.html") if page.name != "404.html"]
    assert len(pages) > 100
    for page in pages:
        addresses = Addresses(page)
        for address in addresses.loaded - {""}:
            if not address.startswith("data:"):
                assert urlsplit(address).scheme == "" and local(page, address).is_file(), (page, address)
        if page.parent.name != "example":  # the report, which has tests of its own
            for address in addresses.linked:
                parts = urlsplit(address)
                if parts.scheme == "" and parts.path and not parts.path.startswith("/"):
                    assert local(page, address).exists(), (page, address)


def test_content(site):
    home = (site / "index.html").read_text()
    assert "sRGB photos in, sensor RAW out" in home
    assert 'src="docs/example_photos.jpg"' in home and (site / "docs" / "example_photos.jpg").is_file()
    method = (site / "docs" / "method.html").read_text()
    assert method.count("<math") > 50 and "$`" not in method and "```math" not in method
    assert "../omf/raw/isp.html" in method  # for ../omf/raw/isp.py
    module = (site / "omf" / "raw" / "isp.html").read_text()
    assert 'id="omf.raw.isp.encode_srgb"' in module
    assert "mean" in (site / "example" / "report.html").read_text()
    assert "black_level" in (site / "cameras" / "samsung_s7.yaml.html").read_text()


def test_every_module_has_a_page_with_all_documented_functions(site):
    for path in (ROOT / "omf").rglob("*.py"):
        if path.name not in ("__init__.py", "__main__.py"):
            page = (site / path.relative_to(ROOT)).with_suffix(".html").read_text()
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for part in ast.parse(path.read_text()).body:
                if isinstance(part, ast.FunctionDef) and part.name[0] != "_" and ast.get_docstring(part):
                    assert f'id="{module}.{part.name}"' in page


def test_a_broken_link_is_an_error(tmp_path):
    links = ("docs/missing.md", "docs/method.md#no-such-heading", "omf/missing.py")
    suffixes = {".md", ".yml", ".py", ".png", ".jpg", ".css", ".yaml", ".json", ".cff"}
    modules = ROOT / "omf"  # their pages take longest, and the page with the broken links links to none
    for path in project_files():
        if path.suffix in suffixes and modules not in path.parents:
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    for name in ("Snakefile", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    with (tmp_path / "docs" / "quickstart.md").open("a") as page:
        page.writelines(f"\n[a link](../{link})\n" for link in links)
    (tmp_path / "report.html").touch()
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    mkdocs = Path(sys.executable).parent / "mkdocs"
    command = (mkdocs, "build", "--config-file", "tools/site/mkdocs.yml", "--site-dir", tmp_path / "site")
    built = run(*command, cwd=tmp_path, OMF_REPORT=str(tmp_path / "report.html"))
    assert built.returncode != 0
    warnings = [line for line in built.stderr.splitlines() if "WARNING" in line and "quickstart.md" in line]
    assert len(warnings) == 3, built.stderr
    for target in ("missing.md", "no-such-heading", "missing.py"):
        assert [target in warning for warning in warnings].count(True) == 1, built.stderr
