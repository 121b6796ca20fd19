"""Download weights: resume after broken connections, verify the hash, then rename into place."""

import time
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from omf.models.registry import WeightsFile, find_file_problem, is_pointer, is_trusted_url
from omf.utils.console import log, progress
from omf.utils.errors import InputError
from omf.utils.files import locked, sha256, sync
from omf.utils.paths import check_writable
from omf.utils.written import begins_with, is_own, mark, set_aside

ATTEMPTS = 5  # in a row without progress
PAUSE = 1.0  # seconds before another attempt, doubled each time
TIMEOUT = 30  # seconds without a response


def fetch(file: WeightsFile, name: str) -> bool:
    """Download a file of the model of a name; return False if it exists already and matches its hash.

    A partial download remains in FILE.part, and a later call resumes it. If several processes download the
    same file, one does and the others wait.

    Raises:
        InputError: no URL is listed, the folder can't be written to, the server is unreachable or does not
            have the file, or the download is not the listed file.
    """
    problem = find_file_problem(file, name)
    if problem is None:
        return False
    if file.url is None:
        raise InputError(problem)
    check_writable(file.path.parent)
    part = file.path.with_name(file.path.name + ".part")
    with locked(part):
        if find_file_problem(file, name) is None:  # another process has downloaded it in the meantime
            part.unlink(missing_ok=True)
            return False
        download(file, part)
        if part.stat().st_size != file.bytes or sha256(part) != file.sha256:
            part.unlink()
            raise InputError(
                f"{file.url}: the download is not the file that models.yaml lists; try again, "
                f"or copy it to {file.path} by hand"
            )
        sync(part)
        path = file.path
        # other than an earlier download, a part of this one and a pointer to it
        if path.exists() and not (is_own(path) or begins_with(part, path) or is_pointer(path)):
            log.warning(f"{path}: not the listed file; kept as {set_aside(path).name}")
        mark(part, path)
        part.replace(path)
    return True


def download(file: WeightsFile, part: Path) -> None:
    """Append to `part` until it is complete, over as many connections as needed."""
    attempt = 0
    with progress(total=file.bytes, doing=file.path.name, unit="B", unit_scale=True) as bar:
        while True:
            offset = part.stat().st_size
            if offset >= file.bytes:
                return
            bar.update(offset - bar.n)
            try:
                receive(file, part, offset, bar)
                reason = "the connection ended early"
            except requests.HTTPError as error:
                raise InputError(f"{file.url}: {error}; copy the file to {file.path} by hand") from error
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                reason = str(error)
            attempt = 0 if part.stat().st_size > offset else attempt + 1
            if attempt == ATTEMPTS:
                raise InputError(f"{file.url}: can't be downloaded ({reason}); call again to resume")
            time.sleep(PAUSE * 2**attempt if attempt else 0)


class LocalHttpAdapter(requests.adapters.HTTPAdapter):
    """Adapter for http:// that refuses redirects from https://, except to a server on this machine."""

    def send(self, request: requests.PreparedRequest, *arguments, **settings) -> requests.Response:
        if not is_trusted_url(request.url):
            raise InputError(f"{request.url}: a redirect that is not followed, since it is not https://")
        return super().send(request, *arguments, **settings)


def receive(file: WeightsFile, part: Path, offset: int, bar: tqdm) -> None:
    """Append to `part` from byte `offset`, or start over if the server can't resume.

    Stops at one byte more than listed, which suffices to reject the file.
    """
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    with requests.Session() as session:
        session.mount("http://", LocalHttpAdapter())
        response = session.get(file.url, headers=headers, stream=True, timeout=TIMEOUT)
        response.raise_for_status()
        resumed = response.status_code == requests.codes.partial_content
        with part.open("ab" if resumed else "wb") as output:
            if not resumed:
                bar.reset()
            # read1 returns the bytes received so far, even if the connection breaks then
            while output.tell() <= file.bytes and (chunk := response.raw.read1(2**16)):
                output.write(chunk[: file.bytes + 1 - output.tell()])
                bar.update(len(chunk))
