"""A stand-in for Kubernetes' server: it checks Jobs strictly, and leaves their pods to a function."""

import json
import re
import ssl
import subprocess
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import yaml

VERSIONS = ("1.25", "1.37")  # the oldest and the newest that kubernetes_validate knows
TOKEN = "token of the account"
NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
LABEL = r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?"
# a part of Kubernetes' forms: plain numbers, and powers of a thousand
QUANTITY = r"\d+(k|M|G|T|Gi|Mi)?"


def check_strictly(found: dict) -> None:
    """Check an object as Kubernetes does, by its schema and by rules that are not in that.

    Raises ValueError.
    """
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise ValueError(f"{version}: {error.message}") from error
    metadata = found["metadata"]
    name = metadata.get("name") or f"{metadata['generateName']}x1234"
    if not re.fullmatch(NAME, name):
        raise ValueError(f"no name: {name}")
    for owner in metadata.get("ownerReferences", []):
        if not (owner["name"] and owner["uid"]):
            raise ValueError("ownerReferences: no name or uid")
    if found["kind"] != "Job":
        return
    template = found["spec"]["template"]
    pod = template["spec"]
    for labels in (metadata.get("labels", {}), template["metadata"].get("labels", {})):
        for value in labels.values():
            if not re.fullmatch(LABEL, value):
                raise ValueError(f"no value of a label: {value}")
    if pod["restartPolicy"] not in ("Never", "OnFailure"):
        raise ValueError(f"restartPolicy: {pod['restartPolicy']}")
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in pod["containers"]:
        if not {mount["name"] for mount in container["volumeMounts"]} <= volumes:
            raise ValueError("a mount without a volume")
        for value in container["resources"]["limits"].values():
            if not re.fullmatch(QUANTITY, str(value)):
                raise ValueError(f"no quantity: {value}")


class Job:
    """A Job and its pod.

    Attributes:
        manifest: as it was submitted.
        pod_uid: Kubernetes' identity of the pod.
        code: the exit code of the pod, None as long as it runs.
        reason: why the pod ended, as the state of its container names it.
        deleted: the Job was deleted; its pod may still run.
    """

    def __init__(self, manifest: dict):
        self.manifest = manifest
        self.pod_uid = str(uuid.uuid4())
        self.code: int | None = None
        self.reason = ""
        self.deleted = False

    @property
    def name(self) -> str:
        return self.manifest["metadata"]["name"]

    @property
    def rule(self) -> str:
        return self.manifest["metadata"]["labels"]["rule"]

    @property
    def pod(self) -> dict:
        return self.manifest["spec"]["template"]["spec"]

    @property
    def pod_name(self) -> str:
        return f"{self.name}-pod"

    @property
    def limits(self) -> dict[str, object]:
        return self.pod["containers"][0]["resources"]["limits"]

    def ended(self, code: int, reason: str = "") -> None:
        self.code, self.reason = code, reason or ("Error" if code else "Completed")

    def as_answer(self) -> dict:
        status = {"active": 1}
        if self.code is not None:
            kind = "Failed" if self.code else "Complete"
            # a condition that is not met, as Kubernetes may list it
            status = {
                "conditions": [{"type": "Suspended", "status": "False"}, {"type": kind, "status": "True"}]
            }
        return self.manifest | {"status": status}

    def pod_as_answer(self) -> dict:
        state = {"running": {}}
        if self.code is not None:
            state = {"terminated": {"exitCode": self.code, "reason": self.reason}}
        return {"metadata": {"name": self.pod_name}, "status": {"containerStatuses": [{"state": state}]}}


class RefusedError(Exception):
    """A request that is answered with an HTTP code other than those of success."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class Kubernetes:
    """The server on 127.0.0.1, for the pods of one service account, which may do what a Role says.

    Args:
        folder: gets a certificate, and `account`, which belongs into pods.
        role: the Role.
        start: is called in a thread with each Job; it calls `ended`.
        stop: is called with a Job that was deleted while its pod ran.
    """

    def __init__(self, folder: Path, role: dict, start: Callable[[Job], None], stop: Callable[[Job], None]):
        self.rules, self.start_pod, self.stop_pod = role["rules"], start, stop
        self.jobs: dict[str, Job] = {}
        self.busy = 0  # requests to refuse, as a server does that has too much to do
        self.account = folder / "account"
        self.account.mkdir(parents=True)
        files = (folder / "key.pem", self.account / "ca.crt")
        options = (
            "req -x509 -nodes -newkey rsa:2048 -subj /CN=test -days 1 -addext subjectAltName=IP:127.0.0.1"
        )
        command = ["openssl", *options.split(), "-keyout", files[0], "-out", files[1]]
        subprocess.run(command, check=True, capture_output=True)
        (self.account / "token").write_text(TOKEN)
        (self.account / "namespace").write_text("omf\n")
        for file in self.account.iterdir():
            file.chmod(0o644)  # as Kubernetes does, so that any user of a pod can read them
        kubernetes = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else {}
                try:
                    if self.headers["Authorization"] != f"Bearer {TOKEN}":
                        raise RefusedError(401, "Unauthorized")
                    code, content = 200, kubernetes.handle(self.command, self.path, body)
                except RefusedError as refused:
                    code, content = refused.code, {"kind": "Status", "message": str(refused)}
                text = json.dumps(content).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files[1], files[0])
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that Kubernetes sets in all pods."""
        port = str(self.server.server_port)
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def handle(self, method: str, path: str, body: dict) -> dict:
        """Return the answer to a request.

        Raises RefusedError.
        """
        if self.busy:
            self.busy -= 1
            raise RefusedError(503, "apiserver not ready")
        parts = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        found = re.fullmatch(
            r"/(?:api/v1|apis/(\w+)/v1)/namespaces/omf/(jobs|pods)(?:/([-a-z0-9]+))?", parts.path
        )
        if not found:
            raise RefusedError(404, f"no such path: {path}")
        group, kind, name = found[1] or "", found[2], found[3]
        verb = {"GET": "get" if name else "list", "POST": "create", "DELETE": "delete"}[method]
        self.authorize(group, kind, verb)
        if verb == "create":
            assert query == {"fieldValidation": "Strict"}
            return self.create(body).manifest
        if kind == "pods":
            job = self.jobs.get(query["labelSelector"].removeprefix("job-name="))
            gone = job is None or (job.deleted and job.code is not None)
            return {"items": [] if gone else [job.pod_as_answer()]}
        if name not in self.jobs or self.jobs[name].deleted:
            raise RefusedError(404, f'jobs.batch "{name}" not found')
        if verb == "delete":
            self.delete(name)
        return self.jobs[name].as_answer()

    def authorize(self, group: str, kind: str, verb: str) -> None:
        for rule in self.rules:
            if group in rule["apiGroups"] and kind in rule["resources"] and verb in rule["verbs"]:
                return
        raise RefusedError(
            403, f"{kind} is forbidden: the account cannot {verb} resource {kind} in API group {group}"
        )

    def create(self, manifest: dict) -> Job:
        """Create a Job and start its pod.

        Raises RefusedError if anything is wrong with it.
        """
        metadata = manifest["metadata"]
        if "generateName" in metadata:
            metadata |= {"name": f"{metadata['generateName']}{len(self.jobs)}"}
        if metadata["name"] in self.jobs:
            raise RefusedError(409, f'jobs.batch "{metadata["name"]}" already exists')
        try:
            check_strictly(manifest)
        except ValueError as error:
            raise RefusedError(400, f"strict decoding error: {error}") from error
        job = self.jobs[metadata["name"]] = Job(manifest)
        threading.Thread(target=self.start_pod, args=(job,), daemon=True).start()
        return job

    def delete(self, name: str) -> None:
        job = self.jobs[name]
        job.deleted = True
        if job.code is None:
            self.stop_pod(job)

    def collect_garbage(self, owner: Job) -> None:
        """Delete what a pod owned that is gone."""
        for job in list(self.jobs.values()):
            owners = job.manifest["metadata"].get("ownerReferences", [])
            if (owner.pod_name, owner.pod_uid) in [(found["name"], found["uid"]) for found in owners]:
                self.delete(job.name)


def read_objects(file: Path) -> dict[str, dict]:
    """Return the objects in a file of Kubernetes, by their kind."""
    return {found["kind"]: found for found in yaml.safe_load_all(file.read_text())}
