"""The server's answers that no browser can ask for reliably."""

import pytest
from conftest import ROOT

fastapi = pytest.importorskip("fastapi")

from fastapi.responses import FileResponse  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402

from omf.app.server import answer_missing_file  # noqa: E402


def test_a_file_that_goes_while_it_is_asked_for_is_not_found():
    app = fastapi.FastAPI(exception_handlers={RuntimeError: answer_missing_file})

    @app.get("/{name}")
    def read(name: str) -> FileResponse:
        if name == "fault":
            raise RuntimeError("a fault of the program")
        return FileResponse(ROOT / name)

    client = TestClient(app)
    assert client.get("/gone.png").status_code == 404
    assert client.get("/README.md").status_code == 200
    with pytest.raises(RuntimeError, match="a fault of the program"):
        client.get("/fault")
