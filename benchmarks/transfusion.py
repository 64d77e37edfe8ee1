"""TransFusion on a 640×480 pair: speed, precision, memory, against the same network run plainly; all in one run.

    python benchmarks/transfusion.py [full | compact]
    python benchmarks/transfusion.py pairs FOLDER

Prints ratios, asserts nothing. The weights are seeded and random: speed and memory do not depend on them, the precision
that is printed is that of a random network. With ``pairs``, only the precision of the shipped weights is measured, on
five pairs of a folder with ``ir`` and ``vi``.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

import napari_irvisfuse as nif
from _measure import in_turn, machine, matmul_peak, own_peak_memory, peak_memory, ratio
from napari_irvisfuse.evaluation.files import pair_files
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.networks.transfusion import TransFusion
from napari_irvisfuse.networks.transfusion_checkpoints import build_transfusion
from napari_irvisfuse.networks.transfusion_config import PRESETS, TransFusionConfig
from napari_irvisfuse.samples.scene import colour_pair
from napari_irvisfuse.weights import store

SIZE = (480, 640)


def weights_file(preset: str) -> Path:
    """Return a file of seeded random weights whose fused images have about the range of an image."""
    path = Path(tempfile.gettempdir()) / f"irvisfuse-benchmark-transfusion-{preset}-random.safetensors"
    config = PRESETS[preset]
    if not path.exists():
        generator = torch.Generator().manual_seed(0)
        state = {}
        for name, value in TransFusion(config).state_dict().items():
            fan = value[0].numel() if value.ndim == 4 else 100
            state[name] = torch.randn(value.shape, generator=generator) * (1.5 / fan) ** 0.5
        trial, bias = build_transfusion(state, config), state["last.bias"]
        bias.fill_(1e4)  # so that the last ReLU lets everything through
        out = trial(*torch.rand(2, 1, 1, 128, 128, generator=generator)).double() - 1e4
        state["last.weight"] *= 0.15 / out.std()
        bias.fill_(0.5 - 0.15 * float(out.mean() / out.std()))
        save_file(state, path, {"network": "transfusion", "config": json.dumps(config.to_dict())})
    return path


class Plain:
    """The network as one writes it on a first day: float32, three grey channels, a pass per image, layer by layer."""

    def __init__(self, weights: Path, config: TransFusionConfig) -> None:
        self.network = build_transfusion(store.load_state_dict(weights), config)

    def encode(self, image: torch.Tensor) -> list[torch.Tensor]:
        levels = []
        x = image.repeat(1, 3, 1, 1)
        for number, layers in enumerate(self.network.encoder):
            x = F.max_pool2d(x, 2) if number else x
            for layer in layers:
                x = F.relu(layer(x))
            levels.append(x)
        return levels

    @torch.inference_mode()
    def __call__(self, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        merged = []
        for block, a, b in zip(self.network.fusion, self.encode(ir), self.encode(visible), strict=True):
            w_ir, w_visible = (
                torch.sigmoid(sum(mlp.expand(F.relu(mlp.reduce(p(x, 1)))) for p in POOLS))
                for mlp, x in ((block.ir, a), (block.visible, b))
            )
            g_ir, g_visible = torch.sigmoid(2 * w_ir - w_visible), torch.sigmoid(2 * w_visible - w_ir)
            merged.append((a * (1 + g_ir) + b * (1 + g_visible)) / 2)
        levels: list[torch.Tensor] = []
        s = None
        for block, m in zip(reversed(self.network.fusion), merged[::-1], strict=True):
            deeper = s
            s = torch.sigmoid(block.attention(torch.cat([m.amax(1, keepdim=True), m.mean(1, keepdim=True)], 1)))
            if deeper is not None:
                s = torch.sigmoid(s + F.interpolate(deeper, scale_factor=2, mode="bilinear", align_corners=False))
            levels.append(F.gelu(block.output[1](block.output[0](m * (1 + s)))))
        x = levels[0]
        for stage, level in zip(self.network.decoder, levels[1:], strict=True):
            x = torch.cat([stage.up(x), level], 1)
            for layer in stage.convolutions:
                x = F.gelu(layer(x))
        return F.relu(self.network.last(x))


POOLS = (F.adaptive_max_pool2d, F.adaptive_avg_pool2d)


def tensors(pair: ImagePair) -> list[torch.Tensor]:
    return [torch.from_numpy(image)[None, None] for image in (pair.ir, pair.visible)]


def only_peak_memory(which: str, preset: str) -> None:
    """Run one path once; the caller reads this process's peak memory."""
    pair, weights = ImagePair.from_images(*colour_pair(*SIZE)), weights_file(preset)
    if which == "plain":
        Plain(weights, PRESETS[preset])(*tensors(pair))
    elif which != "nothing":
        nif.FusionSession(pair, precision=which).fuse("transfusion", preset=preset, weights=weights)
    else:
        from napari_irvisfuse.algorithms import get_method

        get_method("transfusion")
    print(own_peak_memory())


@torch.inference_mode()
def measure(preset: str, rounds: int) -> None:
    weights, config = weights_file(preset), PRESETS[preset]
    pair = ImagePair.from_images(*colour_pair(*SIZE))
    ir, visible = tensors(pair)
    plain = Plain(weights, config)

    def ours(precision: str) -> nif.FusionResult:
        return nif.FusionSession(pair, precision=precision).fuse("transfusion", preset=preset, weights=weights)

    paths = {"plain": lambda: plain(ir, visible), "auto": lambda: ours("auto"), "float32": lambda: ours("float32")}
    seconds = in_turn(paths, rounds)
    recipe = ours("auto").recipe
    print(f"# TransFusion, {preset}, {SIZE[1]}×{SIZE[0]} colour pair\n\n{machine()}; random weights;", end=" ")
    print(f"auto is {recipe.precision}\n\n| path | median seconds | plain / path |\n|---|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {statistics.median(values):.3f} | {ratio(seconds['plain'], values):.2f} |")

    exact, quick = ours("float32"), ours(recipe.precision)
    difference = np.abs(exact.fused.astype(int) - quick.fused.astype(int))
    print(
        f"\n{recipe.precision} against float32: within one 8-bit level on {(difference <= 1).mean():.3%} of values,",
        end=" ",
    )
    print(f"within three on {(difference <= 3).mean():.3%}")

    live = nif.FusionSession(pair, precision="auto")
    device, dtype = live.compute.device, live.compute.network
    network = build_transfusion(store.load_state_dict(weights), config)
    network = network.to(device, dtype, memory_format=torch.channels_last)
    inputs = [image.to(device, dtype) for image in (ir, visible)]
    alone = statistics.median(in_turn({"": lambda: network(*inputs)}, rounds)[""])
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    flops = counter.get_total_flops()
    everything = statistics.median(seconds["auto"])
    print(f"\nnetwork alone {alone * 1e3:.0f} ms of {everything * 1e3:.0f} ms;", end=" ")
    print(f"everything around it {1 - alone / everything:.1%}")
    if device.type == "cpu":
        peak, single = matmul_peak(dtype), matmul_peak(torch.float32)
        print(f"network: {flops / 1e9:.0f} GFLOP at {flops / alone / 1e9:.0f} GFLOP/s,", end=" ")
        print(f"{flops / alone / peak:.0%} of the {peak / 1e9:.0f} GFLOP/s of a 2048² matrix product;")
        slow = statistics.median(seconds["plain"])
        print(f"plain: {flops / slow / 1e9:.0f} GFLOP/s, {flops / slow / single:.0%} of {single / 1e9:.0f} in float32;")
        print(f"at the full {recipe.precision} peak it would be {slow * peak / flops:.1f} times as fast as plain")

    script = str(Path(__file__).resolve())
    nothing = peak_memory(script, f"nothing:{preset}")
    print(f"\n| path | peak memory above the imports ({nothing:.0f} MB), MB |\n|---|---|")
    for which in ("plain", "float32", recipe.precision):
        print(f"| {which} | {peak_memory(script, f'{which}:{preset}') - nothing:.0f} |")
    print()


def precision_on(folder: Path) -> None:
    """Print how far bfloat16 is from float32 with the shipped weights."""
    files = pair_files(folder / "ir", folder / "vi", {}).pairs
    found = []
    for pair in files[:: max(1, len(files) // 5)][:5]:
        exact, quick = (
            nif.fuse(pair.ir, pair.visible, "transfusion", precision=which, maps=False).fused.astype(int)
            for which in ("float32", "bfloat16")
        )
        found.append(np.abs(exact - quick).ravel())
    away = np.concatenate(found)
    print(f"{len(found)} pairs: within one 8-bit level on {(away <= 1).mean():.2%} of values, largest {away.max()}")


if __name__ == "__main__":
    argument = sys.argv[1] if len(sys.argv) > 1 else ""
    if argument == "pairs":
        precision_on(Path(sys.argv[2]))
    elif ":" in argument:
        only_peak_memory(*argument.split(":"))
    else:
        for name in [argument] if argument else ["full", "compact"]:
            measure(name, rounds=3 if name == "full" else 5)
