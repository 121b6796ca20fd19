"""Requests to Kubernetes from inside a pod, for submit.py, status.py and cancel.py."""

import os
import sys
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

# certificate, namespace and token; Kubernetes puts them into each pod that has a service account
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
JOBS, PODS = "apis/batch/v1/namespaces/{}/jobs", "api/v1/namespaces/{}/pods"
BUSY = (429, 500, 502, 503, 504)  # HTTP's codes of a server that restarts or has too much to do


def request(method: str, path: str, name: str = "", **arguments) -> requests.Response:
    """Return the answer to a request about JOBS or PODS, or the one called `name`.

    A submission is tried for a minute. Snakemake itself repeats the others.

    Raises:
        requests.RequestException: Kubernetes does not answer.
    """
    if not ACCOUNT.is_dir():
        sys.exit(f"error: {ACCOUNT}: not there; run Snakemake in a pod, as run.yaml does")
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    namespace, token = ((ACCOUNT / file).read_text().strip() for file in ("namespace", "token"))
    times = 6 if method == "POST" else 1
    retries = Retry(times, backoff_factor=1, status_forcelist=BUSY, allowed_methods=None)
    with requests.Session() as session:
        session.trust_env = False  # no proxy lies between
        session.mount("https://", HTTPAdapter(max_retries=retries))
        return session.request(
            method,
            "/".join([server, path.format(namespace), *([name] if name else [])]),
            headers={"Authorization": f"Bearer {token}"},
            verify=str(ACCOUNT / "ca.crt"),
            timeout=30,
            **arguments,
        )


def check(answer: requests.Response) -> None:
    """End the program with Kubernetes' message if it refused a request."""
    if not answer.ok:
        kind = answer.headers.get("Content-Type", "")
        sys.exit(f"error: Kubernetes: {answer.json()['message'] if 'json' in kind else answer.reason}")
