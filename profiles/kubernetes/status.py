#!/usr/bin/env python3
"""Print the status of a Job as Snakemake wants it, running, success or failed: status.py NAME."""

import sys

import requests
from api import JOBS, PODS, check, request


def list_pods(name: str) -> list[dict]:
    """Return the pods of a Job: one, or none before it starts and after it was deleted."""
    answer = request("GET", PODS, params={"labelSelector": f"job-name={name}"})
    check(answer)
    return answer.json()["items"]


def find_reasons(pods: list[dict]) -> str:
    """Return why pods failed, such as OOMKilled or DeadlineExceeded."""
    states = [pod["status"] for pod in pods]
    for pod in pods:
        containers = pod["status"].get("containerStatuses", [])
        states += [container["state"].get("terminated", {}) for container in containers]
    return ", ".join(sorted({state["reason"] for state in states if state.get("reason")}))


def find_status(name: str) -> str:
    """Return the status of a Job. One that was deleted has failed once its pods have ended.

    Raises:
        requests.RequestException: Kubernetes does not answer.
    """
    answer = request("GET", JOBS, name)
    if answer.status_code == requests.codes.not_found:
        if list_pods(name):
            return "running"
        print(f"{name} was deleted", file=sys.stderr)
        return "failed"
    check(answer)
    conditions = answer.json().get("status", {}).get("conditions", [])
    met = {condition["type"] for condition in conditions if condition["status"] == "True"}
    if "Failed" in met:
        print(f"{name} failed: {find_reasons(list_pods(name))}", file=sys.stderr)
        return "failed"
    return "success" if "Complete" in met else "running"


if __name__ == "__main__":
    try:
        print(find_status(sys.argv[1]))
    except requests.RequestException as error:
        # jobs run on meanwhile, and Snakemake asks again
        print(f"Kubernetes does not answer: {error}", file=sys.stderr)
        print("running")
