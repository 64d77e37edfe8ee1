"""Timing side by side: what is compared runs in turn, A B A B, so that a drifting machine touches both alike."""

from __future__ import annotations

import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch


def machine() -> str:
    """Return one line about where this runs."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else torch.backends.cpu.get_cpu_capability()
    return f"{platform.machine()}, {torch.get_num_threads()} threads, {name}, torch {torch.__version__}"


def in_turn(candidates: Mapping[str, Callable[[], object]], rounds: int = 5) -> dict[str, list[float]]:
    """Run every candidate once for warming up, then in turn; return seconds by name."""
    for run in candidates.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> float:
    """Return the median of the ratios round by round."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def matmul_peak(dtype: torch.dtype, size: int = 2048, rounds: int = 20) -> float:
    """Return the best floating point operations per second of a square matrix product."""
    a, b = (torch.rand(size, size).to(dtype) for _ in range(2))
    with torch.inference_mode():
        return max(2 * size**3 / min(in_turn({"": lambda: a @ b}, rounds)[""]) for _ in range(2))


def peak_memory(script: str, argument: str) -> float:
    """Run ``script argument`` in a process of its own; it prints :func:`own_peak_memory`, which is returned in MB."""
    done = subprocess.run([sys.executable, script, argument], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def own_peak_memory() -> float:
    """Return the largest amount of memory that this process ever had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says on Linux begins with the memory of the parent
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1e3
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
