"""Where and how precisely to compute: cpu, cuda or mps; and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch

from .errors import DeviceError

__all__ = ["Compute", "Precision", "available_devices", "choose", "is_out_of_memory", "release_memory"]

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16", "float64"]
_DTYPES = {name: getattr(torch, name) for name in get_args(Precision) if name != "auto"}


@dataclass(frozen=True)
class Compute:
    """A device and a precision, with the reason in words.

    Parameters
    ----------
    device
        Where everything runs.
    network
        Data type of the networks' layers.
    arithmetic
        Data type of everything around the networks: float32, or float64 if that was asked for.
    explanation
        One line for people, e.g. ``"CPU, 2 threads, bfloat16 networks (no GPU found)"``.
    """

    device: torch.device
    network: torch.dtype
    arithmetic: torch.dtype
    explanation: str

    def on_cpu(self) -> Compute:
        """Return the same precision on the CPU (float16 becomes float32: CPUs are slow at it)."""
        network = torch.float32 if self.network == torch.float16 else self.network
        return Compute(torch.device("cpu"), network, self.arithmetic, "CPU (the GPU's memory was too small)")


def available_devices() -> list[str]:
    """Names of the devices that can be asked for here, best first, without ``"auto"``."""
    devices = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def choose(device: str = "auto", precision: str = "auto") -> Compute:
    """Resolve a device and a precision as a user names them.

    Parameters
    ----------
    device
        ``"auto"`` (the first GPU that has the precision, else the CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    precision
        ``"auto"``: bfloat16 for networks where the hardware multiplies it natively, float16 on older CUDA GPUs, else
        float32. Or a data type's name. Only ``"float64"`` also changes the arithmetic around the network.

    Raises
    ------
    DeviceError
        If the device is not there or cannot compute in this precision.
    """
    there = available_devices()
    if device == "auto":
        name = next(name for name in there if (name, precision) != ("mps", "float64"))
    else:
        name = "cuda:0" if device == "cuda" else device
    if name not in there:
        raise DeviceError(f"There is no device {device!r} here: choose auto or one of {', '.join(there)}.")
    chosen = torch.device(name)
    if precision != "auto" and precision not in _DTYPES:
        raise DeviceError(f"There is no precision {precision!r}: choose one of {', '.join(get_args(Precision))}.")
    if chosen.type == "mps" and precision == "float64":
        raise DeviceError("Apple GPUs have no float64: choose device cpu or precision float32.")
    network = _native_dtype(chosen) if precision == "auto" else _DTYPES[precision]
    arithmetic = torch.float64 if precision == "float64" else torch.float32
    return Compute(chosen, network, arithmetic, _explain(chosen, network, no_gpu=device == "auto" and there == ["cpu"]))


def _native_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
    if device.type == "cpu" and _cpu_multiplies_bfloat16():
        return torch.bfloat16
    return torch.float32


def _cpu_multiplies_bfloat16() -> bool:
    # AVX-512-BF16 or AMX; oneDNN also "supports" bfloat16 on plain AVX-512, by emulation, slower than float32.
    # The public question came with torch 2.6; before, the answer has to be no.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def _explain(device: torch.device, network: torch.dtype, *, no_gpu: bool) -> str:
    dtype = str(network).removeprefix("torch.")
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        where = f"{properties.name} ({properties.total_memory / 2**30:.0f} GB)"
    elif device.type == "mps":
        where = "Apple GPU"
    else:
        threads = torch.get_num_threads()
        where = f"CPU, {threads} thread{'s' if threads != 1 else ''}"
    reason = " – no GPU found" if no_gpu else ""
    return f"{where}, {dtype} networks{reason}"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception of torch or NumPy means that memory ran out, on any device."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):  # torch.OutOfMemoryError is new in torch 2.5
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "DefaultCPUAllocator" in text or "not enough memory" in text
    )


def release_memory(device: torch.device) -> None:
    """Give cached device memory back to the system, for other programs."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
