"""Local stand-in for the Hugging Face hub: the requests that huggingface_hub makes to share a model.

It answers as the hub's API does, as far as the client reads it. It takes large files as it takes small ones,
in the commit: Git LFS and Xet are missing, so the client must run with HF_HUB_DISABLE_XET=1.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_test"
NAME = r"(?P<name>[\w.-]+/[\w.-]+)"


class Hub(ThreadingHTTPServer):
    """Repositories in memory: each is a list of commits, {path: content}."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, list[dict[str, bytes]]] = {}
        self.licence: object = "apache-2.0"  # in all cards

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_):
        pass

    def answer(self, content: object, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str) -> None:
        self.answer({"error": code}, status, X_Error_Code=code)

    def match(self, pattern: str) -> re.Match | None:
        return re.fullmatch(pattern, self.path.partition("?")[0])

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/validate-yaml":
            has_header = json.loads(body)["content"].startswith("---\n")
            self.answer({"errors": [] if has_header else [{"message": "no metadata"}], "warnings": []})
        elif self.headers["Authorization"] != f"Bearer {TOKEN}":
            self.refuse(401, "Unauthorized")
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            exists = name in self.server.repositories
            self.server.repositories.setdefault(name, [{}])
            self.answer({"url": f"{self.server.url}/{name}"}, 409 if exists else 200)
        elif self.match(f"/api/models/{NAME}/preupload/main"):
            paths = [file["path"] for file in json.loads(body)["files"]]
            mode = {"uploadMode": "regular", "shouldIgnore": False}
            self.answer({"files": [{"path": path} | mode for path in paths]})
        elif found := self.match(f"/api/models/{NAME}/commit/main"):
            self.commit(found["name"], [json.loads(line) for line in body.splitlines()])
        else:
            self.refuse(404, "NotFound")

    def commit(self, name: str, lines: list[dict]) -> None:
        files = dict(self.server.repositories[name][-1])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
        self.server.repositories[name].append(files)
        commit = commit_hash(name, len(self.server.repositories[name]) - 1)
        url = f"{self.server.url}/{name}/commit/{commit}"
        self.answer({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        found = (
            self.match(f"/api/models/{NAME}")
            or self.match(f"/api/models/{NAME}/(?P<kind>revision|tree)/(?P<revision>[^/]+)")
            or self.match(f"/{NAME}/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
        )
        if found is None or found["name"] not in self.server.repositories:
            return self.refuse(404, "RepoNotFound")
        asked = found.groupdict()
        commits = self.server.repositories[asked["name"]]
        hashes = [commit_hash(asked["name"], number) for number in range(len(commits))]
        revision = asked.get("revision") or "main"
        if revision == "main":
            revision = hashes[-1]
        if revision not in hashes:
            return self.refuse(404, "RevisionNotFound")
        files = commits[hashes.index(revision)]
        if "file" in asked:
            content = files[asked["file"]]
            return self.answer(content, X_Repo_Commit=revision, ETag=f'"{hashlib.sha1(content).hexdigest()}"')
        if asked.get("kind") == "tree":
            return self.answer([tree_entry(path, content) for path, content in files.items()])
        card, siblings = {"license": self.server.licence}, [{"rfilename": path} for path in files]
        return self.answer({"id": asked["name"], "sha": revision, "cardData": card, "siblings": siblings})


def commit_hash(name: str, number: int) -> str:
    return hashlib.sha1(f"{name} {number}".encode()).hexdigest()


def tree_entry(path: str, content: bytes) -> dict:
    return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """Run the stand-in on 127.0.0.1 until the context ends."""
    hub = Hub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
