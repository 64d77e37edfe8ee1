"""Weights of TransFusion under every name they come by: ours, the authors', VGG-19's. Strict: nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from napari_irvisfuse.errors import WeightsError

from .transfusion import TransFusion
from .transfusion_config import FULL, TransFusionConfig

__all__ = ["CAFFE_MEANS", "build_transfusion", "caffe_encoder", "is_authors", "load_encoder", "vgg19_encoder"]

CAFFE_MEANS = (103.94, 116.78, 123.68)
"""Of blue, green and red in 0 to 255: what the Caffe form of VGG-19 wants subtracted."""

State = Mapping[str, torch.Tensor]

# The decoder's 3×3 convolutions, deepest stage first.
_DECODER = (
    ("conv1_1_1", "conv1_1_2"),
    ("conv2_1_1", "conv2_1_2", "conv2_2_1", "conv2_2_2"),
    ("conv3_1_1", "conv3_1_2", "conv3_2_1", "conv3_2_2", "conv3_3_1", "conv3_3_2"),
    (
        *("conv4_1_1", "conv4_1_2", "conv4_2_1", "conv4_2_2", "conv4_3_1", "conv4_3_2", "conv4_4_1", "conv4_4_2"),
        "conv_out1",
    ),
)
_PARTS = ("weight", "bias")
# The convolutions among the layers of torchvision's VGG-19, which counts ReLUs and poolings too.
_FEATURES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
_UPS = ("upsample1_1", "upsample2_2", "upsample3_3", "upsample4_4")


def is_authors(state: State) -> bool:
    """Tell whether the names are those of the code published with the paper."""
    return any(name.startswith(("lyr", "f_layer", "upsample")) for name in state)


def build_transfusion(state: State, config: TransFusionConfig | None) -> TransFusion:
    """Build the network.

    Parameters
    ----------
    state
        A ``state_dict`` with our names or the authors'.
    config
        The sizes stored with it; the authors' files store none, and are the paper's by their names.

    Returns
    -------
    TransFusion
        In evaluation mode, no gradients, of the weights' data type, on their device.

    Raises
    ------
    WeightsError
        If an entry is missing, unexpected or of another shape, or the sizes are not known.
    """
    if is_authors(state):
        if config not in (None, FULL):
            raise WeightsError("These weights have the authors' names and sizes that are not theirs: leave sizes out.")
        config = FULL
        names = _authors_names()
        _compare(names.values(), state, "the authors' TransFusion")
        state = {ours: state[theirs] for ours, theirs in names.items()}
    elif config is None:
        raise WeightsError(
            "These weights are neither the authors' nor state the sizes of their network:"
            " choose a file that irvisfuse train transfusion made."
        )
    with torch.device("meta"):
        network = TransFusion(config)
    _check(network, state, "TransFusion of these sizes")
    network.load_state_dict(dict(state), assign=True)
    return network.eval().requires_grad_(False)


def load_encoder(network: TransFusion, entries: State) -> None:
    """Copy the weights that :func:`vgg19_encoder` or :func:`caffe_encoder` found into a network's encoder.

    Raises
    ------
    WeightsError
        If an entry is missing, unexpected or of another shape.
    """
    _check(network.encoder, entries, "this encoder")
    network.encoder.load_state_dict(dict(entries))


def vgg19_encoder(state: State, config: TransFusionConfig = FULL) -> dict[str, torch.Tensor]:
    """Take the encoder out of torchvision's VGG-19.

    Parameters
    ----------
    state
        Its ``state_dict``: ``features.0.weight`` …; the classifier and the layers behind the last level may be there
        or not.
    config
        How many convolutions each level has; VGG-19 has no more than 2, 2, 4, 4, 4.

    Returns
    -------
    dict
        The ``state_dict`` of :attr:`TransFusion.encoder`. As in the published code, its input is not normalised as
        ImageNet's pictures were.

    Raises
    ------
    WeightsError
        If a layer is missing.
    """
    layers = [f"features.{number}" for number in _FEATURES]
    chosen = _chosen(layers, config)
    missing = sorted(f"{name}.{part}" for name in chosen for part in _PARTS if f"{name}.{part}" not in state)
    if missing:
        raise WeightsError(f"These weights are not VGG-19's: {_listed(missing, 'are missing')}.")
    return {f"{ours}.{part}": state[f"{theirs}.{part}"] for theirs, ours in chosen.items() for part in _PARTS}


def caffe_encoder(arrays: Mapping[str, torch.Tensor], config: TransFusionConfig) -> dict[str, torch.Tensor]:
    """Take the encoder out of the Caffe form of VGG-19, which sees blue, green, red in 0 to 255 minus their means.

    The first convolution is changed so that it wants red, green, blue in [0, 1]: order and means are folded into it.
    What it answers is a 255th of what the original does, about 1 like the features of other networks, but for the
    outermost pixels, around which Caffe puts the means and we put black. (ReLUs and poolings pass a factor on, so that
    it is enough to divide the biases behind the first convolution.)

    Parameters
    ----------
    arrays
        ``conv1_1_weight`` (outputs, inputs, 3, 3), ``conv1_1_bias``, ``conv1_2_weight`` …
    config
        As for :func:`vgg19_encoder`.

    Returns
    -------
    dict
        The ``state_dict`` of :attr:`TransFusion.encoder`.

    Raises
    ------
    WeightsError
        If a layer is missing.
    """
    blocks = enumerate(FULL.convolutions, start=1)
    layers = [f"conv{block}_{index}" for block, count in blocks for index in range(1, count + 1)]
    chosen = _chosen(layers, config)
    missing = sorted(f"{name}_{part}" for name in chosen for part in _PARTS if f"{name}_{part}" not in arrays)
    if missing:
        raise WeightsError(f"These weights are not VGG-19's in Caffe's form: {_listed(missing, 'are missing')}.")
    found = {f"{ours}.{part}": arrays[f"{theirs}_{part}"] for theirs, ours in chosen.items() for part in _PARTS}
    weight, bias = found["0.0.weight"], found["0.0.bias"]
    means = torch.tensor(CAFFE_MEANS, dtype=torch.float64, device=weight.device)
    shift = torch.einsum("oihw,i->o", weight.double(), means)
    found["0.0.weight"] = weight.flip(1)
    found["0.0.bias"] = (bias.double() - shift).to(bias.dtype)
    return {name: value / 255 if name.endswith("bias") else value for name, value in found.items()}


def _chosen(layers: list[str], config: TransFusionConfig) -> dict[str, str]:
    """Give VGG-19's name and ours of each convolution of the encoder; ``layers`` are all of VGG-19's in order."""
    found: dict[str, str] = {}
    start = 0
    for level, (count, there) in enumerate(zip(config.convolutions, FULL.convolutions, strict=False)):
        if count > there:
            raise WeightsError(f"VGG-19 has {there} convolutions in level {level + 1}; this encoder wants {count}.")
        found |= {layers[start + index]: f"{level}.{index}" for index in range(count)}
        start += there
    return found


def _authors_names() -> dict[str, str]:
    """Give our name and the authors' of every entry."""
    layers: dict[str, str] = {}
    for level, count in enumerate(FULL.convolutions):
        first = 1 if level else 0  # a pooling is the first layer of the deeper levels; every second one is a ReLU
        layers |= {f"encoder.{level}.{i}": f"layer{level + 1}.{first + 2 * i}" for i in range(count)}
        block, perception = f"fusion.{level}", f"lyr{level + 1}_CA"
        for ours, theirs in (("ir", "ca_ir"), ("visible", "ca_vis")):
            layers[f"{block}.{ours}.reduce"] = f"{perception}.{theirs}.se.0"
            layers[f"{block}.{ours}.expand"] = f"{perception}.{theirs}.se.2"
        layers[f"{block}.attention"] = f"lyr{level + 1}_SA.sa.conv"
        for index in range(2):
            layers[f"{block}.output.{index}"] = f"f_layer{level + 1}_conv_out.conv2d{index + 1}"
    for stage, (up, names) in enumerate(zip(_UPS, _DECODER, strict=True)):
        layers[f"decoder.{stage}.up"] = up
        layers |= {f"decoder.{stage}.convolutions.{i}": f"{name}.conv2d" for i, name in enumerate(names)}
    layers["last"] = "conv_out2"
    return {
        f"{ours}.{part}": f"{theirs}.{part}"
        for ours, theirs in layers.items()
        for part in (_PARTS[:1] if ".se." in theirs else _PARTS)
    }


def _check(module: nn.Module, state: State, what: str) -> None:
    wanted = module.state_dict()
    _compare(wanted, state, what)
    wrong = [
        f"{name} is {tuple(state[name].shape)} and should be {tuple(value.shape)}"
        for name, value in wanted.items()
        if state[name].shape != value.shape
    ]
    if wrong:
        raise WeightsError(f"These weights do not fit {what}: {_listed(wrong, 'have the wrong shape')}.")


def _compare(wanted: Iterable[str], state: State, what: str) -> None:
    names = set(wanted)
    missing, unexpected = sorted(names - set(state)), sorted(set(state) - names)
    if missing or unexpected:
        parts = [
            _listed(listed, verb)
            for listed, verb in ((missing, "are missing"), (unexpected, "are unexpected"))
            if listed
        ]
        raise WeightsError(f"These weights are not {what}: {' and '.join(parts)}.")


def _listed(names: list[str], verb: str) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"{len(names)} {verb} ({', '.join(names[:8])}{more})"
