"""Fetch weights: resumed after a broken connection, verified, then put in place."""

import fcntl
import time
from contextlib import suppress
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from omf.models.registry import WeightsFile, file_problem, is_safe_address
from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.files import sha256, sync

ATTEMPTS = 5  # without a byte of progress
PAUSE = 1.0  # seconds before the next attempt, doubled each time
TIMEOUT = 30  # seconds without an answer


def fetch(file: WeightsFile, name: str) -> bool:
    """Download one file of the model `name` unless the right one is there.

    What has arrived waits in FILE.part, from where a later call goes on. Of several processes one fetches, the others wait.

    Returns:
        True if something was fetched, False if the right file was there already.

    Raises:
        InputError: no address is known, the server can't be reached or does not have the file, or
            what it gave is not the listed file.
    """
    problem = file_problem(file, name)
    if problem is None:
        return False
    if file.url is None:
        raise InputError(problem)
    file.path.parent.mkdir(parents=True, exist_ok=True)
    part = file.path.with_name(file.path.name + ".part")
    with part.open("ab") as waiting:
        with suppress(OSError):  # of file systems without locks
            fcntl.flock(waiting, fcntl.LOCK_EX)
        if file_problem(file, name) is None:  # another process has fetched it meanwhile
            part.unlink(missing_ok=True)
            return False
        download(file, part)
        if part.stat().st_size != file.bytes or sha256(part) != file.sha256:
            part.unlink()
            raise InputError(
                f"{file.url}: what it gave is not the file that models.yaml lists; try again, or copy it to {file.path} by hand"
            )
        sync(part)
        part.replace(file.path)
    return True


def download(file: WeightsFile, part: Path) -> None:
    """Bring `part` to its full length, over as many connections as it takes."""
    attempt = 0
    with progress(total=file.bytes, doing=file.path.name, unit="B", unit_scale=True) as bar:
        while True:
            there = part.stat().st_size if part.exists() else 0
            if there >= file.bytes:
                return
            bar.update(there - bar.n)
            try:
                receive(file, part, there, bar)
                reason = "the connection ended early"
            except requests.HTTPError as error:
                raise InputError(f"{file.url}: {error}; copy the file to {file.path} by hand") from error
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                reason = str(error)
            attempt = 0 if part.exists() and part.stat().st_size > there else attempt + 1
            if attempt == ATTEMPTS:
                raise InputError(
                    f"{file.url}: can't be fetched ({reason}); call again to go on from what has arrived"
                )
            time.sleep(PAUSE * 2**attempt if attempt else 0)


class OnThisMachine(requests.adapters.HTTPAdapter):
    """For http://, which https:// may not be redirected to, unless it is a server on this machine."""

    def send(self, request: requests.PreparedRequest, *arguments, **settings) -> requests.Response:
        if not is_safe_address(request.url):
            raise InputError(
                f"{request.url}: redirected to there, but it is not fetched from, since it is not https://"
            )
        return super().send(request, *arguments, **settings)


def receive(file: WeightsFile, part: Path, there: int, bar: tqdm) -> None:
    """Append to `part` from byte `there` on, or start over if the server can't resume; a byte too many is the last one taken."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
    with requests.Session() as session:
        session.mount("http://", OnThisMachine())
        response = session.get(file.url, headers=headers, stream=True, timeout=TIMEOUT)
        response.raise_for_status()
        resumed = response.status_code == requests.codes.partial_content
        with part.open("ab" if resumed else "wb") as arriving:
            if not resumed:
                bar.reset()
            # read1 gives what has come, also before a break
            while arriving.tell() <= file.bytes and (chunk := response.raw.read1(2**16)):
                arriving.write(chunk[: file.bytes + 1 - arriving.tell()])
                bar.update(len(chunk))
