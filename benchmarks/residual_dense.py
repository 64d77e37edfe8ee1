"""The residual dense network on 640×512 frames: speed, precision and memory against the plain network, in one run.

    python benchmarks/residual_dense.py

Plain is the network as one writes it on a first day: float32, contiguous, reflection-padded convolutions, eager. Prints
ratios and frames per second, asserts nothing.
"""

from __future__ import annotations

import statistics
import sys

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import napari_irvisfuse as nif
from _measure import in_turn, machine, matmul_peak, own_peak_memory, peak_memory, ratio
from napari_irvisfuse.algorithms.residual_dense import ResidualDense
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.samples.scene import colour_pair
from napari_irvisfuse.weights import store

SIZE = (512, 640)


class Plain(nn.Module):
    """The table of layers, one after the other."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        for name in sorted({name.rpartition(".")[0] for name in state}):
            weight = state[f"{name}.weight"]
            outputs, inputs, size, _ = weight.shape
            layer = nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode="reflect" if size > 1 else "zeros")
            layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(state[f"{name}.bias"])
            self.layers[name.replace(".", "_")] = layer
        self.active = nn.LeakyReLU(0.2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        layers, active = self.layers, self.active
        x = shallow = active(layers["shallow_1"](active(layers["shallow_0"](images))))
        blocks = []
        for block in range(3):
            seen = x
            for step in range(4):
                seen = torch.cat([seen, active(layers[f"blocks_{block}_layers_{step}"](seen))], 1)
            x = x + layers[f"blocks_{block}_fuse"](seen)
            blocks.append(x)
        gathered = layers["gather"](torch.cat(blocks, 1))
        deep = active(layers["deep"](gathered)) + shallow
        x = torch.cat([shallow, gathered, deep], 1)
        for step in range(3):
            x = active(layers[f"reconstruct_{step}"](x))
        return (torch.tanh(layers["last"](x)) + 1) / 2


def frames() -> tuple[ImagePair, torch.Tensor]:
    pair = ImagePair.from_images(*colour_pair(*SIZE))
    return pair, torch.from_numpy(np.stack([pair.ir, pair.visible]))[None]


def plain() -> Plain:
    path = store.find("rdn")
    assert path is not None
    return Plain(store.load_state_dict(path)).requires_grad_(False)


def only_peak_memory(which: str) -> None:
    """Run one path once; the caller reads this process's peak memory."""
    pair, images = frames()
    if which == "plain":
        plain()(images)
    elif which == "with maps":
        nif.FusionSession(pair).fuse("rdn")
    elif which != "nothing":
        nif.FusionSession(pair, precision=which).fuse("rdn", maps=False)
    print(own_peak_memory())


@torch.inference_mode()
def main() -> None:
    pair, images = frames()
    network = plain()
    method = ResidualDense()
    parameters = method.parameters()
    candidates = {}
    runtimes = {}
    first = nif.FusionSession(pair).compute
    network.to(first.device)
    on_device = images.to(first.device)
    for name in ("auto", "float32"):
        session = nif.FusionSession(pair, precision=name)
        runtimes[name] = Runtime(session.compute, weights=store.find("rdn"), maps=False)
        ir, visible = (x.to(session.compute.device) for x in (images[:, :1], images[:, 1:]))
        candidates[name] = lambda ir=ir, visible=visible, runtime=runtimes[name]: method.fuse(
            ir, visible, parameters, runtime
        )
    candidates = {"plain network": lambda: network(on_device), **candidates}
    candidates["auto, from arrays to the image"] = lambda: nif.FusionSession(pair).fuse("rdn", maps=False)
    candidates["auto, with all maps"] = lambda: nif.FusionSession(pair).fuse("rdn")
    seconds = in_turn(candidates)
    dtype = str(runtimes["auto"].compute.network).removeprefix("torch.")
    print(f"# Residual dense network, {SIZE[1]}×{SIZE[0]}\n\n{machine()}; auto is {dtype}\n")
    print("| path | frames per second | plain / path |\n|---|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {1 / statistics.median(values):.2f} | {ratio(seconds['plain network'], values):.2f} |")

    exact = network(on_device).clamp(0, 1)[0, 0].cpu().numpy()
    quick = method.fuse(ir, visible, parameters, runtimes["auto"]).fused[0, 0].cpu().numpy()
    levels = [np.floor(image * 255 + 0.5).astype(int) for image in (exact, quick)]
    within = (np.abs(levels[0] - levels[1]) <= 1).mean()
    print(f"\n{dtype} against the plain network: within one 8-bit level on {within:.4%} of pixels,", end=" ")
    print(f"largest difference {np.abs(exact - quick).max() * 255:.2f} levels")

    with FlopCounterMode(display=False) as counter:
        network(on_device)
    flops, alone = counter.get_total_flops(), statistics.median(seconds["auto"])
    peak = matmul_peak(runtimes["auto"].compute.network)
    print(
        f"auto: {flops / 1e9:.0f} GFLOP (what tiles compute twice not counted) at {flops / alone / 1e9:.0f} GFLOP/s,",
        end=" ",
    )
    print(f"{flops / alone / peak:.0%} of the {peak / 1e9:.0f} GFLOP/s of a 2048² matrix product in {dtype}")
    print(f"matrix products in {dtype} are {peak / matmul_peak(torch.float32):.1f} times as fast as in float32 here")

    if first.device.type == "cpu":
        nothing = peak_memory(__file__, "nothing")
        print(f"\n| path | peak memory above the imports ({nothing:.0f} MB), MB |\n|---|---|")
        for which in ("plain", "float32", dtype, "with maps"):
            print(f"| {which} | {peak_memory(__file__, which) - nothing:.0f} |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        only_peak_memory(sys.argv[1])
    else:
        main()
