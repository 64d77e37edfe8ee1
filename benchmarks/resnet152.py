"""ResNet-152 and WLS on a 640×480 pair: speed, precision, memory, against straightforward ports; all in one run.

    python benchmarks/resnet152.py

Prints ratios, asserts nothing. Uses the pretrained weights if they are in the cache, else seeded random ones of the
same shapes: speed and memory are the same, precision is then that of a random network (the output says which).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import convolve1d, uniform_filter
from torch.utils.flop_counter import FlopCounterMode

import napari_irvisfuse as nif
from _measure import in_turn, machine, matmul_peak, own_peak_memory, peak_memory, ratio
from napari_irvisfuse.algorithms.resnet152 import ResNet152, _network
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.networks import torchvision_models
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.samples.scene import colour_pair
from napari_irvisfuse.weights import store

SIZE = (480, 640)


def weights_file() -> tuple[Path, str]:
    """Return a weights file and what it is."""
    found = store.find("resnet152")
    if found is not None:
        return found, "pretrained weights"
    path = Path(tempfile.gettempdir()) / "irvisfuse-benchmark-resnet152-random.pt"
    if not path.exists():
        torch.manual_seed(0)
        torch.save(torchvision_models().resnet152().state_dict(), path)
    return path, "seeded random weights (the pretrained ones are not in the cache)"


# -- the straightforward port --------------------------------------------------------------------------------------


class Port:
    """What one writes on a first day: the stock model, hooks, one float32 pass per image, the equations one by one."""

    def __init__(self, weights: Path) -> None:
        self.model = torchvision_models().resnet152()
        self.model.load_state_dict(store.load_state_dict(weights))
        self.model.eval()
        self.features: list[torch.Tensor] = []
        m = self.model
        for layer in (m.relu, m.layer1[0], m.layer2[0], m.layer3[0], m.layer4[0]):
            layer.register_forward_hook(lambda _m, _i, output: self.features.append(output))

    def levels(self, detail: torch.Tensor) -> list[torch.Tensor]:
        self.features = []
        self.model(detail.repeat(1, 3, 1, 1))
        return [f.abs().sum(1, keepdim=True) for f in self.features]

    @torch.inference_mode()
    def __call__(self, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        box = torch.ones(1, 1, 31, 31) / 31**2
        bases = [F.conv2d(F.pad(x, (15,) * 4, mode="reflect"), box) for x in (ir, visible)]
        details = [ir - bases[0], visible - bases[1]]
        kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None]
        weights: list[list[torch.Tensor]] = [[], []]
        for t1, t2 in zip(self.levels(details[0]), self.levels(details[1]), strict=True):
            a1, a2 = (F.conv2d(t, kernel, padding=1) for t in (t1, t2))
            for k, a in enumerate((a1, a2)):
                weights[k].append(
                    F.interpolate(a / (a1 + a2), size=ir.shape[-2:], mode="bilinear", align_corners=False)
                )
        best = [torch.stack(w).amax(0) for w in weights]
        return 0.6 * bases[0] + 0.4 * bases[1] + best[0] * details[0] + best[1] * details[1]


def numpy_wls(ir: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """WLS in plain NumPy and SciPy, float64, as one would transcribe it."""

    def gauss(x: np.ndarray, sigma: float, radius: int, mode: str) -> np.ndarray:
        t = np.arange(-radius, radius + 1)
        k = np.exp(-t * t / (2 * sigma**2))
        k /= k.sum()
        return convolve1d(convolve1d(x, k, 0, mode=mode), k, 1, mode=mode)

    def box(x: np.ndarray, r: int) -> np.ndarray:
        for axis in (0, 1):
            n = x.shape[axis]
            total = np.concatenate([np.zeros_like(np.take(x, [0], axis)), np.cumsum(x, axis)], axis)
            high, low = np.minimum(np.arange(n) + r + 1, n), np.maximum(np.arange(n) - r, 0)
            x = np.take(total, high, axis) - np.take(total, low, axis)
        return x

    def guided(guide: np.ndarray, image: np.ndarray, r: int) -> np.ndarray:
        n = box(np.ones_like(guide), r)
        mi, mp = box(guide, r) / n, box(image, r) / n
        a = (box(guide * image, r) / n - mi * mp) / (box(guide * guide, r) / n - mi * mi + 0.05**2)
        return box(a, r) / n * guide + box(mp - a * mi, r) / n

    def layers(x: np.ndarray) -> list[np.ndarray]:
        out = [x]
        for s in (2, 4, 8):
            smooth = gauss(out[-1], s, 3 * s, "nearest")
            for _ in range(4):
                smooth = guided(smooth, out[-1], s)
            out.append(smooth)
        return [*out, gauss(out[-1], 2, 6, "nearest")]

    def saliency(x: np.ndarray) -> np.ndarray:
        q = np.floor(x * 255 + 0.5).astype(int)
        s = (np.abs(np.arange(256)[:, None] - np.arange(256)) @ np.bincount(q.ravel(), minlength=256))[q]
        return (s - s.min()) / (s.max() - s.min())

    a, b, s1, s2 = layers(visible), layers(ir), saliency(visible), saliency(ir)
    fused = (0.5 + 0.5 * (s1 - s2)) * a[-1] + (0.5 + 0.5 * (s2 - s1)) * b[-1]
    for i in range(4):
        d1, d2 = a[i] - a[i + 1], b[i] - b[i + 1]
        c = (np.abs(d1) >= np.abs(d2)).astype(float)
        if i:
            c = gauss(c, 2, 6, "reflect")
        m = c * d1 + (1 - c) * d2
        pull = 0.01 / (np.abs(uniform_filter(d2, 7, mode="nearest")) + 1e-6) if i else 0.0
        fused += (m + pull * d1) / (1 + pull)
    return fused


# -- measuring -----------------------------------------------------------------------------------------------------


def session(pair: ImagePair, precision: str) -> nif.FusionSession:
    return nif.FusionSession(pair, precision=precision)


def only_peak_memory(which: str) -> None:
    """Run one path once; the caller reads this process's peak memory."""
    pair, (weights, _) = ImagePair.from_images(*colour_pair(*SIZE)), weights_file()
    if which == "port":
        ir, visible = (torch.from_numpy(x)[None, None] for x in (pair.ir, pair.visible))
        Port(weights)(ir, visible)
    elif which != "nothing":
        session(pair, which).fuse("resnet152", weights=weights)
    else:
        torchvision_models()
    print(own_peak_memory())


@torch.inference_mode()
def main() -> None:
    weights, what = weights_file()
    pair = ImagePair.from_images(*colour_pair(*SIZE))
    ir, visible = (torch.from_numpy(x)[None, None] for x in (pair.ir, pair.visible))
    port, method = Port(weights), ResNet152()
    parameters: Any = method.parameters()

    def ours(precision: str) -> nif.FusionResult:
        return session(pair, precision).fuse("resnet152", weights=weights)

    seconds = in_turn(
        {"port": lambda: port(ir, visible), "auto": lambda: ours("auto"), "float32": lambda: ours("float32")}
    )
    recipe = ours("auto").recipe
    print(f"# ResNet-152, {SIZE[1]}×{SIZE[0]} colour pair\n\n{machine()}; {what}; auto is {recipe.precision}\n")
    print("| path | median seconds | port / path |\n|---|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {statistics.median(values):.3f} | {ratio(seconds['port'], values):.2f} |")

    exact, quick = ours("float32"), ours(recipe.precision)
    difference = np.abs(exact.fused.astype(int) - quick.fused.astype(int))
    weight = np.mean([np.abs(exact.maps[k].data - quick.maps[k].data).mean() for k in ("ir_weight", "visible_weight")])
    level = np.mean([(exact.maps[k].data != quick.maps[k].data).mean() for k in ("ir_level", "visible_level")])
    print(f"\n{recipe.precision} against float32: within one 8-bit level on {(difference <= 1).mean():.4%} of values;")
    print(f"weight maps' mean error {weight:.5f}; winning level different on {level:.2%} of pixels")

    live = session(pair, "auto")
    live.fuse("resnet152", weights=weights)
    shares = iter(np.tile(np.linspace(0, 1, 50), 4))
    state = live._state
    runtime = Runtime(live.compute, weights=weights)
    around = in_turn(
        {
            "network": lambda: method.analyse(*(x.to(live.compute.device) for x in (ir, visible)), parameters, runtime),
            "everything": lambda: ours("auto"),
            "re-weighting, arithmetic": lambda: method.combine(state, parameters, runtime),
            "re-weighting, to the image": lambda: live.fuse(
                "resnet152", weights=weights, base_weight_ir=float(next(shares))
            ),
        }
    )
    network = _network(parameters, runtime)
    detail = torch.cat([ir, visible]).to(live.compute.device, live.compute.network)
    detail = detail.contiguous(memory_format=torch.channels_last)
    run = lambda: network.run(detail, lambda *_: None, lambda *_: None)  # noqa: E731
    alone = statistics.median(in_turn({"": run})[""])
    with FlopCounterMode(display=False) as counter:
        run()
    flops = counter.get_total_flops()
    everything = statistics.median(around["everything"])
    print(f"\nnetwork alone {alone * 1e3:.0f} ms of {everything * 1e3:.0f} ms;", end=" ")
    print(f"everything around it {1 - alone / everything:.1%}")
    for name in ("re-weighting, arithmetic", "re-weighting, to the image"):
        print(f"{name}: {statistics.median(around[name]) * 1e3:.1f} ms")
    if live.compute.device.type == "cpu":
        peak = matmul_peak(live.compute.network)
        print(f"network: {flops / 1e9:.0f} GFLOP at {flops / alone / 1e9:.0f} GFLOP/s,", end=" ")
        print(f"{flops / alone / peak:.0%} of the {peak / 1e9:.0f} GFLOP/s of a 2048² matrix product")
        ceiling = peak / matmul_peak(torch.float32)
        print(f"matrix products in {recipe.precision} are {ceiling:.1f} times as fast as in float32 on this machine")

    nothing = peak_memory(__file__, "nothing")
    print(f"\n| path | peak memory above the imports ({nothing:.0f} MB), MB |\n|---|---|")
    for which in ("port", "float32", recipe.precision):
        print(f"| {which} | {peak_memory(__file__, which) - nothing:.0f} |")

    grey = [pair.ir.astype(np.float64), pair.visible.astype(np.float64)]
    wls = in_turn({"numpy": lambda: numpy_wls(*grey), "ours": lambda: nif.FusionSession(pair).fuse("wls")})
    print(f"\n# WLS, {SIZE[1]}×{SIZE[0]}\n\nours {statistics.median(wls['ours']):.3f} s,", end=" ")
    print(f"plain NumPy {statistics.median(wls['numpy']):.3f} s, ratio {ratio(wls['numpy'], wls['ours']):.1f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        only_peak_memory(sys.argv[1])
    else:
        main()
