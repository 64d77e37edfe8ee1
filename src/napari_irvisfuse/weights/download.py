"""Downloading one file: checked, resumable, cancellable, and never visible until it is whole."""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any, TypeAlias
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from napari_irvisfuse.errors import Cancelled, DownloadError
from napari_irvisfuse.types import Cancel, Progress

__all__ = ["download"]

# The standard library is enough: it knows proxies, redirects and TLS. What is missing (resuming, cancelling, a lock) is
# missing in pooch and torch.hub as well, and would still have to be written around them.

_CHUNK = 256 * 1024
_RETRIES = 3
_PAUSE = 0.5  # seconds before the first retry
_POLL = 0.1  # seconds between two looks at cancelled()

_Piece: TypeAlias = tuple[int, int, bytes]


class _Failed(Exception):
    """Ends the download; its text is the reason told to the user."""


class _Broken(Exception):
    """The connection was lost within the body; what came is kept."""


class _Unresumable(Exception):
    """The server does not continue where we asked it to."""


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    size: int | None = None,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
    timeout: float = 30,
) -> Path:
    """Download a file, unless it is already there.

    What has arrived is kept beside the target as ``NAME.part`` when the download is cancelled or breaks off, and the
    next call goes on from there. The target itself appears, or is replaced, only once the whole file has been checked.

    Parameters
    ----------
    url
        An ``http`` or ``https`` address.
    target
        The file to write. Its folder is made.
    sha256
        The hexadecimal SHA-256, or its first 8 or more digits.
    size
        Exact size in bytes, if known.
    progress
        Called with bytes done, bytes in all (0 while unknown) and a message.
    cancelled
        Asked several times a second, whatever the network does.
    timeout
        Seconds without an answer after which the server is given up.

    Returns
    -------
    Path
        ``target``.

    Raises
    ------
    DownloadError
        Naming the file, its address and the folder to put it into by hand.
    Cancelled
        If the user stopped it.
    """
    sha256 = sha256.lower()
    if not re.fullmatch("[0-9a-f]{8,64}", sha256):
        raise ValueError(f"not a SHA-256, nor the start of one: {sha256!r}")
    name = target.name

    def check() -> None:
        if cancelled is not None and cancelled():
            raise Cancelled

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, f"Downloading {name}: {_amount(done, total)}")

    def wait() -> None:
        if progress is not None:
            progress(0, 0, f"Waiting for another download of {name}")
        _sleep(_POLL, check)

    try:
        if urlsplit(url).scheme not in ("http", "https"):
            raise _Failed("only http and https addresses are fetched")
        check()
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(f"{name}.lock"), wait) as alone:
            if target.is_file() and size in (None, target.stat().st_size) and _has_hash(target, sha256):
                return target
            # Where files cannot be locked, resuming is given up so that nobody else writes into what we write.
            part = target.with_name(f"{name}.part" if alone else f"{name}.{uuid.uuid4().hex}.part")
            try:
                _receive(url, part, size, timeout, report, check)
                if not _has_hash(part, sha256):
                    part.unlink()
                    raise _Failed(f"what came is not the published file, whose SHA-256 is {sha256}")
                with part.open("rb+") as file:
                    os.fsync(file.fileno())  # or a power cut could leave an empty file under the final name
                part.replace(target)
            finally:
                if not alone:
                    part.unlink(missing_ok=True)
    except (_Failed, OSError, HTTPException, ValueError) as error:
        raise DownloadError(
            f"Could not download {name} ({_reason(error)}): "
            f"fetch it from {url} on another computer and put it into {target.parent.absolute()}"
        ) from error
    return target


def _receive(
    url: str,
    part: Path,
    size: int | None,
    timeout: float,
    report: Callable[[int, int], None],
    check: Callable[[], None],
) -> None:
    """Complete the partial file, going on after breaks."""
    breaks = 0
    while True:
        done = part.stat().st_size if part.exists() else 0
        if size is not None and done > size:
            part.unlink()
            continue
        if size is not None and done == size > 0:
            return  # stopped last time between the last byte and the check
        try:
            with closing(_pieces(url, done, timeout, check)) as pieces:
                start, total, _ = next(pieces)
                if size is not None and total not in (0, size):
                    raise _Failed(f"the file there has {total} bytes, the published one {size}")
                total = total or size or 0
                with part.open("r+b" if start else "wb") as file:
                    file.seek(start)
                    done = start
                    report(done, total)
                    for _, _, data in pieces:
                        file.write(data)
                        done += len(data)
                        if done > total > 0:
                            raise _Failed(f"more than the published {total} bytes came")
                        report(done, total)
            if done >= total:
                return
        except _Unresumable:
            if done == 0:
                raise _Failed("the server sends something else than was asked for") from None
            part.unlink()
            continue
        except _Broken:
            pass
        breaks += 1
        if breaks > _RETRIES:
            raise _Failed(f"the connection broke off {breaks} times, what came is kept")
        _sleep(_PAUSE * breaks, check)


def _pieces(url: str, asked: int, timeout: float, check: Callable[[], None]) -> Generator[_Piece, None, None]:
    """Yield ``(where the body starts, size of the whole file or 0, bytes)``, at first without bytes.

    A thread does the fetching: finding the host, connecting and reading may each block for as long as ``timeout``, none
    of them can be interrupted, and a socket that has timed out once cannot be read any further. When the caller stops,
    the thread is left to end by itself.
    """
    queue: Queue[_Piece | Exception | None] = Queue(maxsize=4)
    abandoned = threading.Event()

    def put(item: _Piece | Exception | None) -> None:
        while not abandoned.is_set():
            with suppress(Full):
                return queue.put(item, timeout=_POLL)

    def fetch() -> None:
        headers = {"User-Agent": "napari-irvisfuse", **({"Range": f"bytes={asked}-"} if asked else {})}
        try:
            with urlopen(Request(url, headers=headers), timeout=timeout) as response:
                # short hashes are no protection against somebody who can change what we read
                if urlsplit(response.url).scheme not in ("https", urlsplit(url).scheme):
                    raise _Failed("the server redirects to an address that is not secure")
                start, total = _extent(response, asked)
                put((start, total, b""))
                try:
                    while not abandoned.is_set() and (data := response.read1(_CHUNK)):
                        put((start, total, data))
                except (OSError, HTTPException) as error:
                    raise _Broken from error
            put(None)
        except HTTPError as error:
            error.close()
            if error.code == 416 and asked:
                if error.headers.get("Content-Range") != f"bytes */{asked}":
                    return put(_Unresumable())
                put((asked, asked, b""))  # there is no more because all of it is here
                return put(None)
            put(error)
        except Exception as error:
            put(error)

    threading.Thread(target=fetch, name="download", daemon=True).start()
    try:
        while True:
            check()
            try:
                item = queue.get(timeout=_POLL)
            except Empty:
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        abandoned.set()


def _extent(response: Any, asked: int) -> tuple[int, int]:
    """Return where the body starts and the size of the whole file, 0 if unknown."""
    if response.status == 206:
        match = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != asked:
            raise _Unresumable
        return asked, 0 if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else 0


@contextmanager
def _locked(path: Path, wait: Callable[[], None]) -> Iterator[bool]:
    """Hold a lock that the system releases even if we crash; yield False on file systems without locks."""
    while True:
        with path.open("ab") as file:
            try:
                _lock(file.fileno())
            except (BlockingIOError, PermissionError):
                wait()
                continue
            except OSError:
                yield False
                return
            try:
                ours = os.path.samestat(path.stat(), os.fstat(file.fileno()))
            except FileNotFoundError:
                ours = False
            if not ours:
                continue  # whoever held the lock before us has removed the file: nobody else would see our lock
            try:
                yield True
            finally:
                with suppress(OSError):  # Windows removes no open file: there it stays, empty
                    path.unlink()
            return


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sleep(seconds: float, check: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        time.sleep(min(left, _POLL))


def _has_hash(path: Path, sha256: str) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(sha256)


def _amount(done: int, total: int) -> str:
    unit, name = (10**6, "MB") if max(done, total) >= 10**6 else (10**3, "kB")
    numbers = [f"{n / unit:.0f}" if n >= 100 * unit else f"{n / unit:.1f}" for n in (done, total)]
    return f"{' of '.join(numbers if total else numbers[:1])} {name}"


def _reason(error: BaseException) -> str:
    if isinstance(error, HTTPError):
        return f"the server answered {error.code} {error.reason}".strip()
    network = isinstance(error, URLError | ConnectionError | HTTPException)
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return "the server does not answer"
    if isinstance(cause, ssl.SSLError):
        return f"no secure connection: {cause.reason or cause}"
    if network:
        # a number means the system's own words for being offline; a proxy's words are worth telling
        known = isinstance(cause, HTTPException | ConnectionError) or getattr(cause, "errno", None) is not None
        return "no connection" if known else f"no connection: {cause}"
    if isinstance(cause, OSError):
        return f"it cannot be written: {cause.strerror or cause}"
    return str(cause)
