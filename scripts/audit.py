"""Ask the OSV database (osv.dev) for known vulnerabilities of pinned packages; exit code 1 if there are some.

Where the database can't be asked, that is said, and nothing is claimed: the exit code is 0.
"""

import argparse
import re
import sys
from pathlib import Path

import requests

SERVICE = "https://api.osv.dev/v1/querybatch"
TIMEOUT = 10  # seconds without an answer


def pins(text: str) -> list[tuple[str, str]]:
    """Name and version of each pin of a requirements file."""
    return re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, flags=re.MULTILINE)


def vulnerabilities(packages: list[tuple[str, str]], service: str) -> dict[tuple[str, str], list[str]]:
    """The numbers of what is known of each package; those without any are left out. Raises RequestException or ValueError."""
    asked = {
        "queries": [
            {"package": {"ecosystem": "PyPI", "name": name}, "version": version} for name, version in packages
        ]
    }
    answer = requests.post(service, json=asked, timeout=TIMEOUT)
    answer.raise_for_status()
    try:
        results = answer.json()["results"]
        found = {
            package: [known["id"] for known in result.get("vulns", [])]
            for package, result in zip(packages, results, strict=True)
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("an answer of another form") from error
    return {package: numbers for package, numbers in found.items() if numbers}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requirements", nargs="+", type=Path)
    parser.add_argument("--service", default=SERVICE, help="address of the database")
    arguments = parser.parse_args()
    packages = sorted({pin for path in arguments.requirements for pin in pins(path.read_text())})
    try:
        found = vulnerabilities(packages, arguments.service)
    except (requests.RequestException, ValueError) as error:
        print(f"audit: not done, {arguments.service} can't be asked ({type(error).__name__})")
        return 0
    for (name, version), numbers in found.items():
        print(
            f"audit: {name} {version} is vulnerable: {', '.join(f'https://osv.dev/{number}' for number in numbers)}"
        )
    print(f"audit: {len(packages)} pinned packages, {len(found)} with known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
