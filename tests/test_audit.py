"""scripts/audit.py, against a stand-in for the database on this machine."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from conftest import ROOT, run

PINS = "# a comment\njinja2==3.1.6 \\\n    --hash=sha256:00\nnumpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:00\n"


class Database(BaseHTTPRequestHandler):
    """Answers what `server.answer` says, and keeps what it was asked."""

    def do_POST(self):
        self.server.asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def audit(tmp_path):
    """Runs the audit of `PINS`; None: nobody answers."""
    (tmp_path / "requirements.txt").write_text(PINS)

    def audited(answer: bytes | None):
        server = HTTPServer(("127.0.0.1", 0), Database)
        server.answer = answer
        service = f"http://127.0.0.1:{server.server_port}/v1/querybatch"
        if answer is None:
            server.server_close()
        else:
            threading.Thread(target=server.handle_request, daemon=True).start()
        result = run(
            sys.executable, ROOT / "scripts" / "audit.py", tmp_path / "requirements.txt", "--service", service
        )
        server.server_close()
        return result, getattr(server, "asked", None)

    return audited


def test_all_pins_are_asked_for_and_nothing_is_known(audit):
    result, asked = audit(b'{"results": [{}, {}]}')
    assert asked["queries"] == [
        {"package": {"ecosystem": "PyPI", "name": name}, "version": version}
        for name, version in (("jinja2", "3.1.6"), ("numpy", "2.4.6"))
    ]
    assert result.returncode == 0
    assert result.stdout == "audit: 2 pinned packages, 0 with known vulnerabilities\n"


def test_a_vulnerability_is_told_and_fails(audit):
    result, _ = audit(b'{"results": [{"vulns": [{"id": "GHSA-1"}, {"id": "PYSEC-2"}]}, {}]}')
    assert result.returncode == 1
    assert "jinja2 3.1.6 is vulnerable: https://osv.dev/GHSA-1, https://osv.dev/PYSEC-2\n" in result.stdout
    assert "numpy 2.4.6" not in result.stdout


@pytest.mark.parametrize(
    "answer", [None, b"<html>a proxy's page</html>", b'{"results": []}', b'{"message": "no"}', b"[]"]
)
def test_where_the_database_can_not_be_asked_nothing_is_claimed(audit, answer):
    result, _ = audit(answer)
    assert result.returncode == 0
    assert result.stdout.startswith("audit: not done, http://127.0.0.1") and result.stdout.count("\n") == 1
    assert result.stderr == ""
