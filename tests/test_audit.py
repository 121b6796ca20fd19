"""tools/audit.sh against a local stand-in for the vulnerability database."""

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import ROOT, run

PACKAGES = {"jinja2": "3.1.6", "numpy": "2.4.6"}
PINS = "".join(f"{name}=={version} --hash=sha256:{'0' * 64}\n" for name, version in PACKAGES.items())
KNOWN = {
    "id": "GHSA-0000-0000-0001",
    "modified": "2026-01-01T00:00:00Z",
    "published": "2026-01-01T00:00:00Z",
    "summary": "a hole",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "jinja2"}, "versions": ["3.1.6"]}],
}


class Database(BaseHTTPRequestHandler):
    """Handler that answers the query of a package with `server.answers[name]`, else with no vulnerability."""

    def do_POST(self):
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((query["package"]["name"], query["version"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answers.get(query["package"]["name"], b"{}"))

    def log_message(self, *_):
        pass


@pytest.fixture
def database():
    """Return a running server that knows no vulnerability."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Database) as server:
        server.answers, server.asked = {}, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def audit(folder: Path, database: ThreadingHTTPServer) -> subprocess.CompletedProcess:
    files = folder / "requirements.txt", folder / "unhashed.txt"
    files[0].write_text(PINS)
    files[1].write_text("torch==2.13.0\n")  # as PyTorch is pinned
    address = f"http://127.0.0.1:{database.server_port}/v1/query"
    return run(ROOT / "tools" / "audit.sh", *files, OSV_URL=address)


def test_all_pins_are_queried(tmp_path, database):
    result = audit(tmp_path, database)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("audit: no known vulnerabilities in ") == 2
    assert sorted(database.asked) == sorted([*PACKAGES.items(), ("torch", "2.13.0")])


def test_a_vulnerability_is_reported_and_fails(tmp_path, database):
    database.answers["jinja2"] = json.dumps({"vulns": [KNOWN]}).encode()
    result = audit(tmp_path, database)
    assert result.returncode == 1
    assert "GHSA-0000-0000-0001" in result.stdout and "jinja2" in result.stdout
    assert "numpy" not in result.stdout


def test_an_unreachable_database_or_another_server_skips_the_audit(tmp_path, database):
    database.answers["jinja2"] = b"<html>a proxy's page</html>"
    result = audit(tmp_path, database)
    assert result.returncode == 0
    assert "requirements.txt skipped, no answer from the database (" in result.stdout
    database.shutdown()
    database.server_close()
    result = audit(tmp_path, database)
    assert result.returncode == 0
    assert result.stdout.count("skipped, no answer from the database (") == 2
    assert "ConnectionError" in result.stdout
    assert result.stdout.count("\n") == 2 and result.stderr == ""
