"""Downloads, from a server on this computer that misbehaves on demand."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import napari_irvisfuse
import napari_irvisfuse.weights.download as module
from napari_irvisfuse.errors import Cancelled, DownloadError
from napari_irvisfuse.weights.download import download

DATA = bytes(range(256)) * 4096 + b"the end"  # 1 MiB and a bit: several chunks
SHA = hashlib.sha256(DATA).hexdigest()
HALF = len(DATA) // 2


class Server(ThreadingHTTPServer):
    """Answers by a script, one word per request, and normally once that has run out."""

    daemon_threads = False  # so that closing waits for them

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[str] = []
        self.ranges: list[str | None] = []
        self.go_on = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/net.pth"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers["Range"])
        how = self.server.script.pop(0) if self.server.script else "normal"
        with suppress(ConnectionError):
            self.answer(how)

    def answer(self, how: str) -> None:
        asked = self.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and how != "ignore range" else 0
        body = DATA[start:]
        if how == "silent":
            self.server.go_on.wait(20)
        elif how == "redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
        elif how in ("404", "503"):
            self.send_error(int(how))
        elif how == "416" or start >= len(DATA):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(DATA)}")
            self.end_headers()
        elif how == "broken chunks":
            self.protocol_version = "HTTP/1.1"
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"3e8\r\n" + body[:1000] + b"\r\n3e8\r\n")
        else:
            self.send_response(206 if start else 200)
            if start:
                first = 0 if how == "wrong start" else start
                self.send_header("Content-Range", f"bytes {first}-{len(DATA) - 1}/{len(DATA)}")
            if how != "no length":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if how == "truncate":
                body = body[: len(body) // 2]
            if how == "wrong bytes":
                body = bytes(len(body))
            if how == "stall":
                self.wfile.write(body[:1000])
                self.server.go_on.wait(20)
                body = body[1000:]
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(module, "_PAUSE", 0.01)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()
    for left in [thread for thread in threading.enumerate() if thread.name == "download"]:
        left.join(5)
        assert not left.is_alive()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "net.pth"


def part_of(target: Path) -> Path:
    return target.with_name("net.pth.part")


def put_part(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(data)


def after(calls: int) -> Callable[[], bool]:
    left = iter(range(calls))
    return lambda: next(left, None) is None


def test_whole_file(server: Server, target: Path) -> None:
    reports: list[tuple[int, int, str]] = []

    def progress(done: int, total: int, message: str) -> None:
        assert not target.exists(), "a partial file under the final name"
        reports.append((done, total, message))

    assert download(server.url, target, sha256=SHA, size=len(DATA), progress=progress) == target
    assert target.read_bytes() == DATA
    assert [entry.name for entry in target.parent.iterdir()] == ["net.pth"], "something is left lying about"
    assert server.ranges == [None]
    done = [report[0] for report in reports]
    assert done == sorted(done)
    assert done[-1] == len(DATA)
    assert {report[1] for report in reports} == {len(DATA)}
    assert reports[0][2] == "Downloading net.pth: 0.0 of 1.0 MB"


@pytest.mark.parametrize(
    ("done", "total", "words"),
    [
        (12_897_485, 241_627_721, "12.9 of 242 MB"),
        (12_897_485, 0, "12.9 MB"),
        (5_000, 20_000, "5.0 of 20.0 kB"),
        (200_000_000, 241_627_721, "200 of 242 MB"),
    ],
)
def test_amounts(done: int, total: int, words: str) -> None:
    assert module._amount(done, total) == words


def test_start_of_the_hash_is_enough(server: Server, target: Path) -> None:
    assert download(server.url, target, sha256=SHA[:8].upper()).read_bytes() == DATA


@pytest.mark.parametrize("sha256", ["", SHA[:7], "no hash at all", SHA + "0"])
def test_without_a_usable_hash_nothing_is_fetched(server: Server, target: Path, sha256: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        download(server.url, target, sha256=sha256)
    assert server.ranges == []


def test_existing_file_is_not_fetched_again(server: Server, target: Path) -> None:
    download(server.url, target, sha256=SHA)
    before = target.stat().st_mtime_ns
    download(server.url, target, sha256=SHA)
    assert target.stat().st_mtime_ns == before
    assert server.ranges == [None]


def test_unknown_length(server: Server, target: Path) -> None:
    server.script = ["no length"]
    totals = set()
    download(server.url, target, sha256=SHA, progress=lambda done, total, message: totals.add(total))
    assert target.read_bytes() == DATA
    assert totals == {0}


def test_goes_on_where_it_stopped(server: Server, target: Path) -> None:
    put_part(target, DATA[:HALF])
    first: list[int] = []
    download(server.url, target, sha256=SHA, progress=lambda done, total, message: first.append(done))
    assert target.read_bytes() == DATA
    assert server.ranges == [f"bytes={HALF}-"]
    assert first[0] == HALF


def test_resumes_through_a_redirection(server: Server, target: Path) -> None:
    put_part(target, DATA[:HALF])
    server.script = ["redirect"]
    download(server.url, target, sha256=SHA)
    assert target.read_bytes() == DATA
    assert server.ranges == [f"bytes={HALF}-"] * 2


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_part_that_was_already_whole(server: Server, target: Path, size: int | None) -> None:
    put_part(target, DATA)
    download(server.url, target, sha256=SHA, size=size)
    assert target.read_bytes() == DATA
    assert server.ranges == ([f"bytes={len(DATA)}-"] if size is None else [])


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_part_that_is_too_long(server: Server, target: Path, size: int | None) -> None:
    put_part(target, DATA + b"more")
    download(server.url, target, sha256=SHA, size=size)
    assert target.read_bytes() == DATA
    assert server.ranges == ([f"bytes={len(DATA) + 4}-", None] if size is None else [None])


@pytest.mark.parametrize(
    ("how", "requests"),
    [("ignore range", 1), ("416", 2), ("wrong start", 2)],
)
def test_server_that_cannot_resume(server: Server, target: Path, how: str, requests: int) -> None:
    put_part(target, b"x" * HALF)  # if a byte of this survived, the hash would be wrong
    server.script = [how]
    download(server.url, target, sha256=SHA)
    assert target.read_bytes() == DATA
    assert len(server.ranges) == requests


def test_part_that_is_too_long_for_a_server_that_cannot_resume(server: Server, target: Path) -> None:
    put_part(target, DATA + b"more")
    server.script = ["ignore range"]
    assert download(server.url, target, sha256=SHA).read_bytes() == DATA


def test_broken_connection_of_unknown_length_is_resumed(server: Server, target: Path) -> None:
    server.script = ["broken chunks"]
    assert download(server.url, target, sha256=SHA).read_bytes() == DATA
    assert server.ranges == [None, "bytes=1000-"]


def test_broken_connection_is_resumed(server: Server, target: Path) -> None:
    server.script = ["truncate", "truncate"]
    download(server.url, target, sha256=SHA)
    assert target.read_bytes() == DATA
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF + (len(DATA) - HALF) // 2}-"]


def test_connection_that_keeps_breaking(server: Server, target: Path) -> None:
    server.script = ["truncate"] * 9
    with pytest.raises(DownloadError, match="broke off 4 times"):
        download(server.url, target, sha256=SHA)
    assert len(server.ranges) == 4
    assert not target.exists()
    kept = part_of(target).read_bytes()
    assert DATA.startswith(kept)
    assert len(kept) > 0.9 * len(DATA)
    server.script = []
    assert download(server.url, target, sha256=SHA).read_bytes() == DATA
    assert server.ranges[-1] == f"bytes={len(kept)}-"


@pytest.mark.parametrize("resumed", [False, True])
def test_wrong_bytes_are_thrown_away(server: Server, target: Path, resumed: bool) -> None:
    if resumed:
        put_part(target, DATA[:HALF])
    server.script = ["wrong bytes"]
    with pytest.raises(DownloadError, match=f"not the published file, whose SHA-256 is {SHA[:8]}"):
        download(server.url, target, sha256=SHA[:8])
    assert list(target.parent.iterdir()) == []
    assert download(server.url, target, sha256=SHA[:8]).read_bytes() == DATA


def test_wrong_size_is_noticed_before_the_download(server: Server, target: Path) -> None:
    with pytest.raises(DownloadError, match=f"has {len(DATA)} bytes, the published one 17"):
        download(server.url, target, sha256=SHA, size=17)


def test_endless_file_is_stopped(server: Server, target: Path) -> None:
    server.script = ["no length"]
    with pytest.raises(DownloadError, match="more than the published 4000 bytes"):
        download(server.url, target, sha256=SHA, size=4000)


@pytest.mark.parametrize("script", [["wrong bytes"], ["404"], ["truncate"] * 4])
def test_failure_leaves_an_existing_file_alone(server: Server, target: Path, script: list[str]) -> None:
    target.parent.mkdir(parents=True)
    target.write_bytes(b"an older file")
    server.script = script
    with pytest.raises(DownloadError):
        download(server.url, target, sha256=SHA)
    assert target.read_bytes() == b"an older file"
    download(server.url, target, sha256=SHA)
    assert target.read_bytes() == DATA


def test_cancelling_keeps_what_came(server: Server, target: Path) -> None:
    arrived: list[int] = []
    with pytest.raises(Cancelled):
        download(
            server.url,
            target,
            sha256=SHA,
            progress=lambda done, total, message: arrived.append(done),
            cancelled=lambda: bool(arrived) and arrived[-1] > 200_000,
        )
    kept = part_of(target).read_bytes()
    assert 200_000 < len(kept) < len(DATA)
    assert DATA.startswith(kept)
    assert not target.exists()
    download(server.url, target, sha256=SHA)
    assert target.read_bytes() == DATA
    assert server.ranges == [None, f"bytes={len(kept)}-"]


@pytest.mark.parametrize("how", ["silent", "stall"])
def test_cancelling_does_not_wait_for_the_server(server: Server, target: Path, how: str) -> None:
    server.script = [how]
    begin = time.monotonic()
    with pytest.raises(Cancelled):
        download(server.url, target, sha256=SHA, cancelled=lambda: time.monotonic() - begin > 0.3)
    assert 0.25 < time.monotonic() - begin < 1.3


def test_cancelled_before_it_began(server: Server, target: Path) -> None:
    with pytest.raises(Cancelled):
        download(server.url, target, sha256=SHA, cancelled=lambda: True)
    assert server.ranges == []
    assert not target.parent.exists()


def test_cancelled_between_two_tries(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 60)
    server.script = ["truncate"]
    begin = time.monotonic()
    with pytest.raises(Cancelled):
        download(server.url, target, sha256=SHA, cancelled=lambda: time.monotonic() - begin > 0.4)
    assert time.monotonic() - begin < 1.4
    assert part_of(target).read_bytes() == DATA[:HALF]


def test_silent_server_is_given_up(server: Server, target: Path) -> None:
    server.script = ["silent"]
    with pytest.raises(DownloadError, match="the server does not answer"):
        download(server.url, target, sha256=SHA, timeout=0.2)


def test_stalled_server_is_tried_again(server: Server, target: Path) -> None:
    server.script = ["stall"]
    download(server.url, target, sha256=SHA, timeout=0.3)
    assert target.read_bytes() == DATA
    assert server.ranges == [None, "bytes=1000-"]


@pytest.mark.parametrize("code", ["404", "503"])
def test_refusals_are_told(server: Server, target: Path, code: str) -> None:
    server.script = [code]
    with pytest.raises(DownloadError, match=f"the server answered {code}"):
        download(server.url, target, sha256=SHA)
    assert len(server.ranges) == 1


def test_offline_sentence(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # not listening: connecting is refused
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/net.pth"
        with pytest.raises(DownloadError) as caught:
            download(url, target, sha256=SHA)
    assert str(caught.value) == (
        f"Could not download net.pth (no connection): fetch it from {url} on another computer "
        f"and put it into {target.parent}"
    )


@pytest.mark.parametrize("scheme", ["file", "ftp", "data", ""])
def test_only_the_web(tmp_path: Path, target: Path, scheme: str) -> None:
    (tmp_path / "net.pth").write_bytes(DATA)
    with pytest.raises(DownloadError, match="only http and https"):
        download(f"{scheme}://{tmp_path}/net.pth", target, sha256=SHA)


def test_secure_address_stays_secure(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Response:
        url = "http://127.0.0.1/net.pth"

        def __enter__(self) -> Response:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(module, "urlopen", lambda request, timeout: Response())
    with pytest.raises(DownloadError, match="not secure"):
        download("https://127.0.0.1/net.pth", target, sha256=SHA)


def test_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot be written"):
        download(server.url, tmp_path / "file" / "net.pth", sha256=SHA)


def test_full_disk(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DownloadError, match="cannot be written: No space left"):
        download(server.url, target, sha256=SHA)
    assert not target.exists()


def test_second_download_waits_for_the_first(server: Server, target: Path) -> None:
    server.script = ["stall"]
    waiting = threading.Event()

    def second(done: int, total: int, message: str) -> None:
        if message == "Waiting for another download of net.pth":
            waiting.set()

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(download, server.url, target, sha256=SHA)
        deadline = time.monotonic() + 5
        while not server.ranges and time.monotonic() < deadline:
            time.sleep(0.01)
        two = pool.submit(download, server.url, target, sha256=SHA, progress=second)
        waited = waiting.wait(5)
        server.go_on.set()
        assert one.result() == two.result() == target
    assert waited
    assert server.ranges == [None], "the file was fetched twice"
    assert target.read_bytes() == DATA
    assert [entry.name for entry in target.parent.iterdir()] == ["net.pth"]


def test_waiting_can_be_cancelled(server: Server, target: Path) -> None:
    target.parent.mkdir(parents=True)
    with module._locked(target.with_name("net.pth.lock"), lambda: None) as alone:
        assert alone
        with pytest.raises(Cancelled):
            download(server.url, target, sha256=SHA, cancelled=after(3))
    assert server.ranges == []


def test_lock_whose_file_is_removed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock, calls = tmp_path / "lock", module._lock, []

    def late(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            path.unlink()  # by the holder before us, between our opening and our locking
        lock(descriptor)

    monkeypatch.setattr(module, "_lock", late)
    with module._locked(path, lambda: None) as alone:
        assert alone
        assert path.exists(), "others would lock another file"
    assert not path.exists()


def test_processes_at_once(server: Server, target: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from napari_irvisfuse.weights.download import download;"
        "download(sys.argv[1], Path(sys.argv[2]), sha256=sys.argv[3])"
    )
    source = str(Path(napari_irvisfuse.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source}
    command = [sys.executable, "-W", "error", "-c", code, server.url, str(target), SHA]
    processes = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert target.read_bytes() == DATA
    assert server.ranges == [None]


def test_file_system_without_locks(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_: int) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(module, "_lock", unsupported)
    put_part(target, b"of somebody else")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: download(server.url, target, sha256=SHA), range(4)))
    assert done == [target] * 4
    assert target.read_bytes() == DATA
    server.script = ["truncate"] * 4
    target.unlink()
    with pytest.raises(DownloadError, match="broke off"):
        download(server.url, target, sha256=SHA)
    assert part_of(target).read_bytes() == b"of somebody else"
    assert len(list(target.parent.glob("*.part"))) == 1, "its own partial file is of no use to anybody"
