"""Reads the two recipes of the image, as far as they are used here."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import PurePosixPath

HEADERS = {"bootstrap", "from"}  # those that the agent `docker` needs
SECTIONS = {
    "arguments",
    "environment",
    "files",
    "help",
    "labels",
    "post",
    "pre",
    "runscript",
    "setup",
    "startscript",
    "test",
}


@dataclass
class Definition:
    """An Apptainer definition of one stage, with its build arguments filled in."""

    header: dict[str, str]
    sections: dict[str, list[str]]  # lines without comments and indentation

    @property
    def files(self) -> dict[str, str]:
        """Where each file or folder comes to lie: sources by destination."""
        pairs = [line.split() for line in self.sections["files"]]
        return {placed(source, destination): source for source, destination in pairs}


def read_definition(text: str, **arguments: str) -> Definition:
    """Parse a definition.

    Args:
        text: of the file.
        arguments: as `apptainer build --build-arg` takes them; for others %arguments has the values.

    Raises:
        ValueError: an unknown section or header, a missing header, or a build argument without a value.
    """
    values = dict(line.split("=", 1) for line in read_sections(text)[1].get("arguments", [])) | arguments
    undefined = set(re.findall(r"{{\s*(\w+)\s*}}", text)) - set(values)
    if undefined:
        raise ValueError(f"build arguments without a value: {', '.join(sorted(undefined))}")
    return Definition(*read_sections(re.sub(r"{{\s*(\w+)\s*}}", lambda match: values[match[1]], text)))


def read_sections(text: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The header and the sections, as they stand."""
    header: dict[str, str] = {}
    sections: dict[str, list[str]] = {}
    section = None
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith("%"):
            section = line[1:].lower()
            if section not in SECTIONS:
                raise ValueError(f"unknown section: {line}")
            sections.setdefault(section, [])
        elif not line or line.startswith("#"):
            continue
        elif section:
            sections[section].append(line)
        else:
            key, colon, value = line.partition(":")
            if not colon or key.lower() not in HEADERS:
                raise ValueError(f"unknown header: {line}")
            header[key.lower()] = value.strip()
    if list(header) != ["bootstrap", "from"] or not all(header.values()):
        raise ValueError("the header must be Bootstrap, then From")
    return header, sections


@dataclass
class Dockerfile:
    """The first stage of a Dockerfile, and the names of all."""

    arguments: dict[str, str] = field(default_factory=dict)  # ARG, "" where there is no default
    files: dict[str, str] = field(default_factory=dict)  # COPY, sources by destination
    commands: list[str] = field(default_factory=list)  # RUN, cut at &&
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)


def read_dockerfile(text: str) -> Dockerfile:
    """Parse the instructions; those that it doesn't know raise ValueError."""
    read = Dockerfile()
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    for instruction, _, rest in (line.partition(" ") for line in lines if line):
        if instruction == "FROM":
            read.stages.append(rest.partition(" AS ")[2])
        elif len(read.stages) > 1:
            continue
        elif instruction == "ARG":
            name, _, read.arguments[name] = rest.partition("=")
        elif instruction == "COPY":
            *sources, destination = rest.split()
            read.files |= {placed(source, destination): source for source in sources}
        elif instruction == "RUN":
            read.commands += rest.split(" && ")
        elif instruction in ("ENV", "LABEL"):
            pairs = dict(pair.split("=", 1) for pair in shlex.split(rest))
            (read.environment if instruction == "ENV" else read.labels).update(pairs)
        elif instruction == "ENTRYPOINT":
            read.entrypoint = json.loads(rest)
        elif instruction not in ("WORKDIR", "STOPSIGNAL"):
            raise ValueError(f"unknown instruction: {instruction}")
    return read


def placed(source: str, destination: str) -> str:
    """The path in the image: with a slash at its end, the destination is the folder to copy into."""
    return destination + PurePosixPath(source).name if destination.endswith("/") else destination
