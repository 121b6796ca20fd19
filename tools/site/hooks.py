"""Hooks of MkDocs that make the site of the repository's own Markdown, at the same paths, and of its code.

A link to another file of the repository leads to a page that shows this file: the API of a module, the text
of another file, the list of a folder.
"""

import ast
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import latex2mathml.converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PICTURES = (".png", ".jpg")
# Files that pages link to, and folders of such files
SHOWN = ("CITATION.cff", "LICENSE", "config.yaml", "trained_models/")
SHOWN += tuple(f"benchmarks/{name}.json" for name in ("scale", "scale_slurm", "scale_tars"))
SHOWN += ("cameras/", "examples/", "omf/", "profiles/", "scripts/", "workflow/")
LANGUAGES = {".cff": "yaml", ".json": "json", ".py": "python", ".smk": "python", ".yaml": "yaml"}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(?=[)#])")
# the page of a run
REPORT = os.environ.get("OMF_REPORT", ROOT / "submission" / "report.html")
REPORT_PAGE = """# Report of a run

The page that `./test` writes for the samples, `submission/report.html`: [open it alone](example/report.html).

<iframe src="example/report.html" title="Report of a run"></iframe>
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add all pages: Markdown and pictures, files and folders that pages link to, and the report."""
    command = ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.check_output(command, text=True).splitlines()
    paths = sorted(path for path in listed if (ROOT / path).is_file() and not path.startswith("tests/"))
    generated = {"report.md": REPORT_PAGE}
    copied = {"example/report.html": str(REPORT)}
    for path in paths:
        suffix = PurePosixPath(path).suffix
        if suffix in (".md", *PICTURES):
            copied[path] = str(ROOT / path)
        elif path.startswith("omf/") and suffix == ".py":
            module = path.removesuffix(".py").replace("/", ".")
            generated[page_of(path)] = f"# {module}\n\n::: {module}\n"
        elif path.startswith(SHOWN) and suffix in ("", *LANGUAGES):
            generated[page_of(path)] = show(path)
    for folder, entries in folders(path for path in paths if page_of(path) in generated).items():
        if page_of(folder).endswith("/index.md"):
            generated[page_of(folder)] = list_folder(folder, entries)
    for page, content in generated.items():
        files.append(File.generated(config, page, content=content))
    for page, path in copied.items():
        files.append(File.generated(config, page, abs_src_path=path))
    return files


def folders(paths: Iterable[str]) -> dict[str, set[str]]:
    """Return the entries of each folder that contains files, at any depth."""
    entries: dict[str, set[str]] = {}
    for path in paths:
        place = PurePosixPath(path)
        while place.parent.name:
            entries.setdefault(str(place.parent), set()).add(str(place))
            place = place.parent
    return entries


def page_of(path: str) -> str:
    """Return the page that shows a file or folder of the repository."""
    if path.endswith((".md", *PICTURES)):
        return path
    if (ROOT / path).is_dir():
        readme = f"{path}/README.md"
        return readme if (ROOT / readme).is_file() else f"{path}/index.md"
    if path.endswith("/__init__.py"):
        return f"{path.removesuffix('/__init__.py')}/index.md"
    return f"{path.removesuffix('.py')}.md" if path.startswith("omf/") else f"{path}.md"


def show(path: str) -> str:
    """Return a page with the text of a file."""
    text, fence = (ROOT / path).read_text("utf-8"), "`" * 6
    language = LANGUAGES.get(PurePosixPath(path).suffix, "text")
    return f"---\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n{fence}{language}\n{text}\n{fence}\n"


def list_folder(folder: str, entries: set[str]) -> str:
    """Return a page that lists a folder, with the first lines of the docstrings."""
    lines = [f"# {folder}", "", docstring(f"{folder}/__init__.py"), "", "| | |", "|---|---|"]
    for entry in sorted(entries, key=lambda entry: ((ROOT / entry).is_file(), entry)):
        name = PurePosixPath(entry).name
        if name != "__init__.py":
            target = PurePosixPath(page_of(entry)).relative_to(folder)
            summary = docstring(entry) or docstring(f"{entry}/__init__.py")
            lines.append(f"| [`{name}`]({target}) | {summary.partition(chr(10))[0]} |")
    return "\n".join(lines) + "\n"


def docstring(path: str) -> str:
    """Return the docstring of a Python file, or nothing for another file."""
    if not path.endswith(".py") or not (ROOT / path).is_file():
        return ""
    return ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8"))) or ""


def on_page_markdown(markdown: str, page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to pages, and turn formulae, which GitHub writes as $`...`$ and ```math, into MathML."""
    folder = PurePosixPath(page.file.src_uri).parent

    def relink(match: re.Match) -> str:
        target = os.path.normpath(folder / match[1])
        if not (ROOT / target).exists():
            return match[0]
        return os.path.relpath(page_of(target), folder)

    if page.file.abs_src_path:  # not a generated page
        markdown = LINK.sub(relink, markdown)
    markdown = re.sub(r"^```math\n(.*?)^```$", lambda m: mathml(m[1], "block"), markdown, flags=re.M | re.S)
    return re.sub(r"\$`([^`]+)`\$", lambda m: mathml(m[1], "inline"), markdown)


def mathml(formula: str, display: str) -> str:
    """Convert LaTeX to MathML, with nothing in it that Markdown reads as emphasis."""
    text = latex2mathml.converter.convert(" ".join(formula.split()), display=display)
    return text.replace("*", "&#42;").replace("_", "&#95;")
