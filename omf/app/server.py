"""Serve the app."""

import os
import threading
from contextlib import closing
from typing import TYPE_CHECKING

from omf.app.workbench import Workbench
from omf.utils.console import log
from omf.utils.errors import InputError

if TYPE_CHECKING:
    from starlette.responses import Response

HOST, FIRST_PORT = "127.0.0.1", 7860


def launch(host: str = HOST, port: int | None = None, device: str = "auto") -> None:
    """Serve the app until the program is interrupted.

    The page loads nothing from elsewhere, and the server asks no other one. It sets environment variables
    that Gradio reads.

    Args:
        host: address to listen on; 0.0.0.0 for all.
        port: port to listen on; None: the first free one from `FIRST_PORT` on.
        device: as in config.yaml.

    Raises:
        InputError: the address can't be listened on, or the device does not exist.
    """
    with closing(Workbench(device)) as bench:
        os.environ |= {
            "GRADIO_ANALYTICS_ENABLED": "False",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "GRADIO_TEMP_DIR": str(bench.uploads),
        }
        # takes long, and reads the environment
        import gradio as gr

        from omf.app.page import EXAMPLES_FOLDER, FIRST_MODEL, MAX_BYTES, PAGE_STYLE, Page

        gr.set_static_paths([bench.visits, EXAMPLES_FOLDER])
        bench.method(FIRST_MODEL)
        blocks = Page(bench).blocks
        try:
            _, url, _ = blocks.launch(
                server_name=host,
                server_port=port,
                max_file_size=MAX_BYTES,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                pwa=False,
                run_history=False,
                enable_monitoring=False,
                footer_links=[],
                theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
                css=PAGE_STYLE,
                app_kwargs={"exception_handlers": {RuntimeError: answer_missing_file}},
            )
        except OSError as error:
            raise InputError(
                f"{host}:{port or FIRST_PORT}: taken or not allowed; give another port"
            ) from error
        log.info(f"open {url} in a browser; Ctrl-C ends the app")
        try:
            threading.Event().wait()
        finally:
            blocks.close()


async def answer_missing_file(request: object, error: Exception) -> "Response":
    """Answer 404, without a traceback in the log, for a file that went with its visitor while being sent.

    Raises:
        RuntimeError: another error than Starlette's of a missing file.
    """
    from starlette.responses import Response  # takes long

    if not str(error).startswith("File at path"):
        raise error
    return Response(status_code=404)
