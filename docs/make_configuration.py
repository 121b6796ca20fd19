"""Make docs/configuration.md: what config.yaml's comments and the schema say of each setting.

python docs/make_configuration.py
"""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from omf.utils.files import save_text

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "configuration.md"
CONFIG, SCHEMA = ROOT / "config.yaml", ROOT / "workflow" / "schemas" / "config.schema.yaml"
LINE = re.compile(r"(?P<indent> *)(?P<name>\w+):.*?(?:\s# (?P<comment>.*))?$")
CONTINUED = re.compile(r" +# (?P<comment>.*)$")
SECTIONS = {  # the settings below each name; others go with those before
    "": "Of a run",
    "noise": "Noise",
    "training": "Training",
    "training.steps": "Training: steps",
    "training.loss": "Training: loss",
}
HEAD = """# Settings

Every setting there is: what it does, what it may be, and what it is if you say nothing.

They stand in [`config.yaml`](../config.yaml). Change them there, or for a single run on the command line:

```
./test --config images=photos shard_size=64 output_format=dng
./test --configfile mine.yaml
```

`mine.yaml` holds the settings that are to be others, in the form of `config.yaml`; what it leaves out stays, inside `training` too.
Settings within a section (`noise.iso`) go this way, or on the command line: `--config 'noise={iso: 400}'`.

A name that is misspelt, or a value that can't be, ends the run at once with one line that names all of them. `omf predict` has the
settings of the output as options (`--noise-iso 400`); `omf train --settings FILE` takes those below `training` from a file. This page is
made by `python docs/make_configuration.py`.
"""


def comments(text: str) -> dict[str, str]:
    """The comment on each setting that has a line of its own in config.yaml, by its dotted name."""
    found: dict[str, str] = {}
    path: list[str] = []
    for line in text.splitlines():
        if setting := LINE.fullmatch(line):
            path = [*path[: len(setting["indent"]) // 2], setting["name"]]
            found[".".join(path)] = setting["comment"] or ""
        elif path and (more := CONTINUED.fullmatch(line)):
            found[".".join(path)] += f" {more['comment']}"
        else:
            path = path[:1]  # a heading, or a gap
    return found


def settings(schema: dict, above: str = "") -> Iterator[tuple[str, dict]]:
    """Dotted name and schema of each setting, sections before what they hold."""
    for name, setting in schema["properties"].items():
        yield above + name, setting
        if "properties" in setting:
            yield from settings(setting, f"{above}{name}.")


def default(name: str, config: dict, schema: dict) -> str:
    """What config.yaml says, as YAML, or the schema of what is not there; nothing where there is none, or the parts of a section say it."""
    value = config
    for part in name.split("."):
        value = value.get(part) if part in value else schema.get("default", {})
    if isinstance(value, dict) and (value or name != "noise"):
        return ""
    return f"`{yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix('...' + chr(10)).strip()}`"


def row(name: str, setting: dict, config: dict, commented: dict[str, str]) -> str:
    said = [text for text in (commented.get(name), setting.get("title")) if text]
    if len(said) != 1:
        raise ValueError(
            f"{name}: explained {len(said)} times; give it a comment in config.yaml, or else a title in the schema"
        )
    cells = [f"`{name}`", said[0], setting["description"], default(name, config, setting)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def page() -> str:
    """The page."""
    config, schema = yaml.safe_load(CONFIG.read_text()), yaml.safe_load(SCHEMA.read_text())
    commented = comments(CONFIG.read_text())
    known = list(settings(schema))
    text = HEAD
    for section, heading in SECTIONS.items():
        inside = [(name, setting) for name, setting in known if section_of(name) == section]
        text += f"\n## {heading}\n\n| setting | what it does | it must be | default |\n|---|---|---|---|\n"
        text += "".join(row(name, setting, config, commented) + "\n" for name, setting in inside)
    return text


def section_of(name: str) -> str:
    """The nearest section above a setting."""
    while name:
        name = name.rpartition(".")[0]
        if name in SECTIONS:
            return name
    return ""


if __name__ == "__main__":
    save_text(PAGE, page())
