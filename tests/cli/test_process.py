"""The program as a user starts it: a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

COMMAND = (sys.executable, "-W", "error", "-m", "napari_irvisfuse.cli")


def _run(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        **{"env": environment, **options},
    )


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], ["fuse", "--help"], ["align", "--help"], ["demo", "--help"], ["fuse", "a"]]
)
def test_help_and_version_load_nothing_heavy(args):
    code = (
        "import sys\n"
        "from napari_irvisfuse.cli import main\n"
        f"sys.argv = ['irvisfuse', *{args!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'torchvision', 'napari', 'numpy', 'scipy', 'PIL', 'qtpy'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_version():
    from importlib.metadata import version

    done = _run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"irvisfuse {version('napari-irvisfuse')}\n", "")


def test_the_package_itself_can_be_run():
    command = [sys.executable, "-W", "error", "-m", "napari_irvisfuse", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, _run("--version").stdout, "")


def test_success_and_refusal(pair, folder):
    done = _run("fuse", *pair, "-o", "o.png")
    assert (done.returncode, done.stderr) == (0, "")
    before = (folder / "o.png").read_bytes()
    again = _run("fuse", *pair, "-o", "o.png", "-m", "max")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "irvisfuse: o.png exists already: choose another name or add --overwrite.\n"
    assert (folder / "o.png").read_bytes() == before


def test_a_terminal_without_greek_is_no_problem():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "NO_COLOR": "1"}
    done = _run("methods", "resnet152", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "??: share of the" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent to one process on Windows")
def test_ctrl_c_in_the_middle(pair, folder):
    # stands for a long computation: it says that it runs, then asks again and again whether to stop
    code = (
        "import time\n"
        "import napari_irvisfuse as nif\n"
        "from napari_irvisfuse.cli import main\n"
        "def slow(*args, cancelled, **kwargs):\n"
        "    print('running', flush=True)\n"
        "    while not cancelled():\n"
        "        time.sleep(0.01)\n"
        "    raise nif.Cancelled\n"
        "nif.fuse = slow\n"
        "main()\n"
    )
    args = ["fuse", *map(str, pair), "-o", "o.png", "--maps", "m"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline() == "running\n"
            started = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
            assert time.monotonic() - started < 10
            assert process.stderr.read() == "irvisfuse: cancelled.\n"
        finally:
            process.kill()
    assert {path.name for path in folder.iterdir()} == {"in"}


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on Windows")
def test_progress_is_for_terminals_only(pair):
    import pty

    leader, follower = pty.openpty()
    try:
        done = subprocess.run(
            [*COMMAND, "fuse", *map(str, pair), "-o", "o.png"],
            stdout=subprocess.PIPE,
            stderr=follower,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
            timeout=120,
            check=False,
        )
        os.set_blocking(leader, False)
        shown = os.read(leader, 100_000)
    finally:
        os.close(leader)
        os.close(follower)
    assert done.returncode == 0
    assert b"\x1b[" in shown
    assert done.stdout.startswith(b"o.png: ")
