"""Room beyond memory: arrays like any other, in files that clean up after themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_irvisfuse.errors import OutputError
from napari_irvisfuse.images import scratch
from napari_irvisfuse.images.scratch import Scratch


def test_the_first_arrays_are_in_memory_and_the_others_on_disk(tmp_path):
    empty = Scratch(tmp_path / "new", 1000)
    small, large, last = (empty((count, 10), np.dtype(np.uint8)) for count in (60, 60, 40))
    assert [isinstance(array, np.memmap) for array in (small, large, last)] == [False, True, False]
    assert large.shape == (60, 10)
    large[:] = np.arange(60)[:, None]
    assert large.sum() == 10 * sum(range(60))
    assert empty.notes[0].startswith("6e-07 GB")
    assert not Scratch(tmp_path, 10).notes


@pytest.mark.skipif(sys.platform == "win32", reason="there the file has a name until it is closed")
def test_no_file_is_ever_seen(tmp_path):
    array = Scratch(tmp_path, 0)((5, 7), np.dtype(np.float32))
    array[:] = 3
    assert not list(tmp_path.iterdir())
    assert float(array.sum()) == 105


@pytest.mark.skipif(sys.platform == "win32", reason="kills a POSIX process")
def test_not_even_a_killed_process_leaves_one(tmp_path):
    code = (
        "import os, sys, numpy as np; from pathlib import Path; from napari_irvisfuse.images.scratch import Scratch\n"
        "array = Scratch(Path(sys.argv[1]), 0)((1 << 20,), np.dtype(np.uint8)); array[:] = 1\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == -9
    assert not list(tmp_path.iterdir())


def test_too_little_room_is_said_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(OutputError, match=r"take 1e-06 GB, for which there is no room in .*No space left"):
        Scratch(tmp_path, 0)((1000,), np.dtype(np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve")
@pytest.mark.parametrize(("number", "refused"), [(28, True), (95, False)])
def test_room_is_reserved_where_the_file_system_can(tmp_path, monkeypatch, number, refused):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(scratch.os, "posix_fallocate", fail)
    if refused:
        with pytest.raises(OutputError, match="no room"):
            Scratch(tmp_path, 0)((1000,), np.dtype(np.uint8))
    else:
        assert Scratch(tmp_path, 0)((1000,), np.dtype(np.uint8)).shape == (1000,)


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="no room in"):
        Scratch(Path(tmp_path / "file" / "stacks"), 0)((10,), np.dtype(np.uint8))
