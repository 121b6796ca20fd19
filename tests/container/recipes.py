"""Parsers for the two recipes of the image, limited to the features used here."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import PurePosixPath

HEADERS = {"bootstrap", "from"}  # required by the agent `docker`
SECTIONS = {
    *("arguments", "environment", "files", "help", "labels", "post", "pre"),
    *("runscript", "setup", "startscript", "test"),
}


@dataclass
class Definition:
    """A single-stage Apptainer definition with substituted build arguments."""

    header: dict[str, str]
    sections: dict[str, list[str]]  # lines, without comments and indentation

    @property
    def files(self) -> dict[str, str]:
        """Sources of files and folders by destination."""
        pairs = [line.split() for line in self.sections["files"]]
        return {image_path(source, destination): source for source, destination in pairs}


def read_definition(text: str, **arguments: str) -> Definition:
    """Parse a definition.

    Args:
        text: content of the file.
        arguments: build arguments, as for `apptainer build --build-arg`; defaults are in %arguments.

    Raises:
        ValueError: if a section or header is unknown, a header is missing, or a build argument has no value.
    """
    values = dict(line.split("=", 1) for line in read_sections(text)[1].get("arguments", [])) | arguments
    undefined = set(re.findall(r"{{\s*(\w+)\s*}}", text)) - set(values)
    if undefined:
        raise ValueError(f"build arguments without a value: {', '.join(sorted(undefined))}")
    return Definition(*read_sections(re.sub(r"{{\s*(\w+)\s*}}", lambda match: values[match[1]], text)))


def read_sections(text: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return header and sections without substitution."""
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
    """The first stage of a Dockerfile, and the names of all stages."""

    arguments: dict[str, str] = field(default_factory=dict)  # ARG; "" without a default
    files: dict[str, str] = field(default_factory=dict)  # COPY; sources by destination
    commands: list[str] = field(default_factory=list)  # RUN, split at &&
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)


def read_dockerfile(text: str) -> Dockerfile:
    """Parse a Dockerfile. Raises ValueError if an instruction is unknown."""
    dockerfile = Dockerfile()
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    for instruction, _, rest in (line.partition(" ") for line in lines if line):
        if instruction == "FROM":
            dockerfile.stages.append(rest.partition(" AS ")[2])
        elif len(dockerfile.stages) > 1:
            continue
        elif instruction == "ARG":
            name, _, dockerfile.arguments[name] = rest.partition("=")
        elif instruction == "COPY":
            *sources, destination = rest.split()
            dockerfile.files |= {image_path(source, destination): source for source in sources}
        elif instruction == "RUN":
            dockerfile.commands += [command.strip() for command in rest.split(" && ")]
        elif instruction in ("ENV", "LABEL"):
            pairs = dict(pair.split("=", 1) for pair in shlex.split(rest))
            (dockerfile.environment if instruction == "ENV" else dockerfile.labels).update(pairs)
        elif instruction == "ENTRYPOINT":
            dockerfile.entrypoint = json.loads(rest)
        elif instruction not in ("WORKDIR", "STOPSIGNAL"):
            raise ValueError(f"unknown instruction: {instruction}")
    return dockerfile


def image_path(source: str, destination: str) -> str:
    """Return the path in the image; a destination that ends with a slash is a folder to copy into."""
    return destination + PurePosixPath(source).name if destination.endswith("/") else destination
