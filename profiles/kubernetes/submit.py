#!/usr/bin/env python3
"""Submit a job of Snakemake to Kubernetes, as in job.yaml: submit.py SCRIPT. Prints the name of the Job."""

import json
import os
import re
import sys
import uuid
from pathlib import Path
from string import Template

import requests
import yaml
from api import JOBS, check, request
from snakemake.utils import read_job_properties

TEMPLATE = Path(__file__).parent / "job.yaml"


def fill_template(script: str) -> dict:
    """Return the Job for a script of Snakemake, from the template."""
    job = read_job_properties(script)
    rule = job.get("rule") or job["groupid"]
    resources = job["resources"]
    values = {
        # another one for each attempt
        "name": f"{re.sub('[^a-z0-9]+', '-', rule.lower())}-{uuid.uuid4().hex[:16]}",
        "rule": rule,
        "owner": os.environ.get("POD_NAME", ""),
        "owner_uid": os.environ.get("POD_UID", ""),
        "script": script,
        "folder": str(Path.cwd()),
        "cores": job["threads"],
        "memory_mb": resources["mem_mb"],
        "gpus": resources.get("gpu", 0),
        "seconds": 60 * resources["runtime"],
    }
    # JSON is YAML, whatever characters are in a path
    words = {key: json.dumps(value) for key, value in values.items()}
    try:
        return yaml.safe_load(Template(TEMPLATE.read_text()).substitute(words))
    except (KeyError, ValueError) as error:
        sys.exit(f"error: {TEMPLATE}: {error}: it may have the words {', '.join(f'${key}' for key in words)}")
    except yaml.YAMLError as error:
        sys.exit(f"error: {TEMPLATE}: {error}")


def submit(job: dict) -> str:
    """Submit a Job and return its name; anything wrong in it is an error."""
    try:
        answer = request("POST", JOBS, json=job, params={"fieldValidation": "Strict"})
    except requests.RequestException as error:
        sys.exit(f"error: Kubernetes does not answer: {error}")
    # the name is in use: an earlier try arrived
    if answer.status_code != requests.codes.conflict:
        check(answer)
    return job["metadata"]["name"]


if __name__ == "__main__":
    print(submit(fill_template(sys.argv[1])))
