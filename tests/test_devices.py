"""Where to compute, and how precisely, and why."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from napari_irvisfuse.devices import available_devices, choose, is_out_of_memory, release_memory
from napari_irvisfuse.errors import DeviceError


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes this a machine with the GPUs and the CPU wished for."""

    def build(cuda: int = 0, capability: tuple[int, int] = (8, 0), mps: bool = False, bfloat16: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        card = SimpleNamespace(name="Card 5000", total_memory=12 * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": bfloat16}, raising=False)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    build()
    return build


def test_a_machine_without_a_gpu(machine):
    assert available_devices() == ["cpu"]
    compute = choose()
    assert (compute.device.type, compute.network, compute.arithmetic) == ("cpu", torch.float32, torch.float32)
    assert compute.explanation == "CPU, 2 threads, float32 networks – no GPU found"
    assert choose("cpu").explanation == "CPU, 2 threads, float32 networks"


def test_a_cpu_that_multiplies_bfloat16(machine, monkeypatch):
    machine(bfloat16=True)
    assert choose().network == torch.bfloat16
    assert choose().arithmetic == torch.float32
    assert choose(precision="float32").network == torch.float32
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # torch before 2.6
    assert choose().network == torch.float32


@pytest.mark.parametrize(("capability", "network"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16)])
def test_a_machine_with_two_gpus(machine, capability, network):
    machine(cuda=2, capability=capability)
    assert available_devices() == ["cuda:0", "cuda:1", "cpu"]
    for name, expected in (("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")):
        assert str(choose(name).device) == expected
    assert choose().network == network
    assert choose().explanation == f"Card 5000 (12 GB), {str(network)[6:]} networks"
    assert choose("cpu").explanation == "CPU, 2 threads, float32 networks"


def test_an_apple_gpu(machine):
    machine(mps=True)
    assert available_devices() == ["mps", "cpu"]
    assert choose().device.type == "mps"
    assert choose().network == torch.float32
    assert choose().explanation == "Apple GPU, float32 networks"
    with pytest.raises(DeviceError, match="Apple GPUs have no float64"):
        choose("mps", "float64")
    automatic = choose("auto", "float64")
    assert automatic.device.type == "cpu"
    assert "no GPU" not in automatic.explanation


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "float64"])
def test_a_precision_by_name(machine, precision):
    compute = choose("cpu", precision)
    assert compute.network == getattr(torch, precision)
    assert compute.arithmetic == (torch.float64 if precision == "float64" else torch.float32)


@pytest.mark.parametrize("device", ["abacus", "cuda", "cuda:0", "mps", "", "CPU", "cpu:7", None])
def test_a_device_that_is_not_there(machine, device):
    with pytest.raises(DeviceError) as caught:
        choose(device)
    assert str(caught.value) == f"There is no device {device!r} here: choose auto or one of cpu."


@pytest.mark.parametrize("precision", ["float8", "double", "", None])
def test_a_precision_that_does_not_exist(machine, precision):
    with pytest.raises(DeviceError, match="auto, float32, bfloat16, float16, float64"):
        choose("cpu", precision)


def test_the_cpu_takes_over(machine):
    machine(cuda=1, capability=(7, 5))
    there = choose("cuda")
    here = there.on_cpu()
    assert (here.device.type, here.network, here.arithmetic) == ("cpu", torch.float32, torch.float32)
    assert "memory" in here.explanation
    assert choose("cuda", "float64").on_cpu().arithmetic == torch.float64


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("details"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_lack_of_memory_is_recognised(error, expected):
    assert is_out_of_memory(error) is expected


def test_the_allocators_own_errors_are_recognised():
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_releasing_memory_is_always_allowed():
    for name in available_devices():
        release_memory(torch.device(name))
