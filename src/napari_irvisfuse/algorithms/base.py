"""What a fusion method is: parameters that describe themselves, two steps, and maps worth looking at."""

from __future__ import annotations

import dataclasses
import math
import types
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.maps import Map, MapGroup
from napari_irvisfuse.runtime import Runtime

__all__ = ["Fusion", "FusionMethod", "Map", "MapGroup", "MethodInfo", "ParameterInfo", "Parameters", "option"]

_HALO = 64  # pixels, for methods that look everywhere and say nothing else
ParametersT = TypeVar("ParametersT", bound="Parameters")
StateT = TypeVar("StateT")


@dataclass(frozen=True, eq=False)
class Fusion:
    """What a method returns: the fused luma ``(N, 1, H, W)``, not clipped, and its maps by name."""

    fused: torch.Tensor
    maps: Mapping[str, Map[torch.Tensor]]


def option(
    default: Any,
    help: str,  # noqa: A002 – the word that command lines and widgets use
    *,
    bounds: tuple[float, float] | None = None,
    choices: tuple[Any, ...] = (),
    live: bool = False,
    step: float | None = None,
    title: str | None = None,
) -> Any:
    """Declare one parameter of a method, as a dataclass field.

    Parameters
    ----------
    default
        The paper's value.
    help
        One line: what it does, with its symbol in the paper and its unit.
    bounds
        Smallest and largest allowed value, both included.
    choices
        The allowed values; for a tuple parameter, which is a selection of them, of its items.
    live
        True if it matters only after :meth:`FusionMethod.analyse`, so that changing it does not repeat that step.
    step
        Distance of the allowed values, counted from the lower bound, for example 2 for odd numbers.
    title
        Label in the widget; the name with spaces if not given.
    """
    metadata = {"help": help, "bounds": bounds, "choices": choices, "live": live, "step": step, "title": title}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class ParameterInfo:
    """One parameter as API, command line and widgets need to know it."""

    name: str
    type: type
    default: Any
    help: str
    title: str
    bounds: tuple[float, float] | None
    choices: tuple[Any, ...]
    live: bool
    step: float | None = None

    def parse(self, text: str) -> Any:
        """Read the value from text, as on the command line; tuples as ``1,2,3``.

        Raises
        ------
        ParameterError
            If the text is not of the parameter's type.
        """
        try:
            if self.type is bool:
                return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
            if self.type is tuple:
                item = type(self.choices[0])
                return tuple(item(part.strip()) for part in text.split(",") if part.strip())
            return self.type(text)
        except (KeyError, ValueError):
            raise ParameterError(f"{self.name} takes {self.wants}; got {text!r}.") from None

    @property
    def wants(self) -> str:
        """What may be given, in words."""
        if self.choices:
            listed = ", ".join(str(choice) for choice in self.choices)
            return f"some of {listed} (with commas)" if self.type is tuple else f"one of {listed}"
        if self.type is bool:
            return "true or false"
        what = "a whole number" if self.type is int else "a number" if self.type is float else self.type.__name__
        steps = f" in steps of {self.step:g}" if self.step else ""
        return f"{what} from {self.bounds[0]:g} to {self.bounds[1]:g}{steps}" if self.bounds else what

    def check(self, value: Any) -> Any:
        """Return the value in its proper type.

        Raises
        ------
        ParameterError
            If it is of another type, out of bounds or not among the choices.
        """
        proper = self._proper(value)
        if proper is None or not (self._is_chosen(proper) and self._is_within(proper)):
            raise ParameterError(f"{self.name} takes {self.wants}; got {value!r}.")
        return proper

    def _is_chosen(self, proper: Any) -> bool:
        return self.type is tuple or not self.choices or proper in self.choices

    def _is_within(self, proper: Any) -> bool:
        if self.bounds is None:
            return True
        low, high = self.bounds
        steps = (proper - low) / self.step if self.step else 0.0
        return bool(low <= proper <= high and abs(steps - round(steps)) < 1e-6)

    def _proper(self, value: Any) -> Any:
        """Return the value as this parameter's type if nothing is lost by it, else None."""
        if self.type is bool or isinstance(value, bool):
            return value if isinstance(value, bool) and self.type is bool else None
        if self.type is tuple:
            given = list(value) if isinstance(value, tuple | list | set | frozenset) else []
            # the choices themselves, in their order: 1.0, True and NumPy's 1 are equal to 1, but no 1 in a recipe
            proper = tuple(choice for choice in self.choices if choice in given)
            return proper if given and all(item in proper for item in given) else None
        if self.type in (int, float) and not isinstance(value, str | bytes):
            try:
                number = self.type(value)
                return number if math.isfinite(number) and (self.type is float or number == value) else None
            except (TypeError, ValueError, OverflowError):
                return None
        return self.type(value) if isinstance(value, self.type) else None


@dataclass(frozen=True)
class Parameters:
    """Base of every method's parameters: frozen, checked when made, self-describing."""

    def __post_init__(self) -> None:
        for info in self.describe():
            object.__setattr__(self, info.name, info.check(getattr(self, info.name)))

    @classmethod
    def describe(cls) -> tuple[ParameterInfo, ...]:
        """Return all parameters in order of declaration."""
        hints = get_type_hints(cls)
        infos = []
        for item in dataclasses.fields(cls):
            meta = item.metadata
            kind = hints[item.name]
            origin = get_origin(kind)
            if origin is Literal:
                kind = type(get_args(kind)[0])
            elif isinstance(origin, type) and not isinstance(kind, types.UnionType):
                kind = origin
            infos.append(
                ParameterInfo(
                    name=item.name,
                    type=kind,
                    default=item.default,
                    help=meta["help"],
                    title=meta["title"] or item.name.replace("_", " "),
                    bounds=meta["bounds"],
                    choices=meta["choices"],
                    live=meta["live"],
                    step=meta["step"],
                )
            )
        return tuple(infos)

    def to_dict(self) -> dict[str, Any]:
        """Return names and values."""
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}

    def analysis_key(self) -> tuple[Any, ...]:
        """Return the values that :meth:`FusionMethod.analyse` depends on."""
        return tuple(getattr(self, info.name) for info in self.describe() if not info.live)


@dataclass(frozen=True)
class MethodInfo:
    """A method as a list of methods shows it.

    Parameters
    ----------
    name, title, summary
        For code, for people, and in one line.
    reference, doi
        Where it was published; empty for the baselines.
    needs_weights
        Whether a network's weights have to be there.
    parameters
        With defaults, bounds and help.
    presets
        Named sets of values that ``preset=`` selects; the first is the default.
    accepts_weights
        Whether a weights file of the user's own can be given; also the dictionaries of methods that need no network.
    """

    name: str
    title: str
    summary: str
    reference: str
    doi: str
    needs_weights: bool
    parameters: tuple[ParameterInfo, ...]
    presets: Mapping[str, Mapping[str, Any]]
    accepts_weights: bool = False


class FusionMethod(ABC, Generic[ParametersT, StateT]):
    """One published algorithm.

    A method is two steps. :meth:`analyse` does what takes long and depends on the images, a network's pass for example;
    :meth:`combine` does the rest in milliseconds. Parameters declared ``live`` matter to the second step only, so
    that the fused image follows a slider.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    reference: ClassVar[str] = ""
    doi: ClassVar[str] = ""
    needs_weights: ClassVar[bool] = False
    accepts_dictionary: ClassVar[bool] = False
    baseline: ClassVar[bool] = False
    stride: ClassVar[int] = 1
    """Largest stride of its maps and steps: parts of an image begin on multiples of it."""
    looks_everywhere: ClassVar[str] = "looks at the whole image"
    """What it does that needs the whole image, as the rest of a sentence, where :meth:`receptive_field` is None."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    parameters_type: ClassVar[type[Parameters]] = Parameters

    @classmethod
    def info(cls) -> MethodInfo:
        """Describe the method."""
        return MethodInfo(
            name=cls.name,
            title=cls.title,
            summary=cls.summary,
            reference=cls.reference,
            doi=cls.doi,
            needs_weights=cls.needs_weights,
            accepts_weights=cls.needs_weights or cls.accepts_dictionary,
            parameters=cls.parameters_type.describe(),
            presets=cls.presets,
        )

    @classmethod
    def parameters(cls, **values: Any) -> Parameters:
        """Build checked parameters: the preset's values first, then the ones given.

        Raises
        ------
        ParameterError
            For an unknown preset, an unknown name or a value that is not allowed.
        """
        known = {info.name for info in cls.parameters_type.describe()}
        preset: Mapping[str, Any] = {}
        if "preset" in values and "preset" not in known:
            name = values.pop("preset")
            if name not in cls.presets:
                there = f"it has {', '.join(cls.presets)}" if cls.presets else "it has none"
                raise ParameterError(f"Method {cls.name!r} has no preset {name!r}: {there}.")
            preset = cls.presets[name]
        unknown = sorted(set(values) - known)
        if unknown:
            there = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise ParameterError(f"Method {cls.name!r} has no parameter {unknown[0]!r}: {there}.")
        return cls.parameters_type(**{**preset, **values})

    def weights_name(self, parameters: ParametersT) -> str | None:
        """Name of the weights that these parameters need, or None."""
        return None

    def receptive_field(self, parameters: ParametersT, weights: Path | None = None) -> int | None:
        """How far, in pixels, an input pixel reaches into the output and the maps; None if everywhere.

        Whatever the values of the live parameters; ``weights`` is the file of the network's weights, resolved, which
        may say how large the network is.
        """
        return None

    def halo(self, parameters: ParametersT, weights: Path | None = None) -> int:
        """How many pixels around a region to look at when only that is fused.

        The receptive field: then the region is exactly what it is in the whole image. A method that looks everywhere
        says how much is enough to come close.
        """
        reach = self.receptive_field(parameters, weights)
        return _HALO if reach is None else reach

    @abstractmethod
    def analyse(self, ir: torch.Tensor, visible: torch.Tensor, parameters: ParametersT, runtime: Runtime) -> StateT:
        """Do the part that takes long.

        Parameters
        ----------
        ir, visible
            Luma ``(N, 1, H, W)`` in [0, 1], on ``runtime.compute.device``, of ``runtime.compute.arithmetic``;
            never written to.

        Returns
        -------
        Whatever :meth:`combine` needs; kept while only live parameters change.
        """

    @abstractmethod
    def combine(self, state: StateT, parameters: ParametersT, runtime: Runtime) -> Fusion:
        """Do the rest; ``state`` is not modified."""

    def release(self) -> None:
        """Drop what is kept between runs, a network for example."""

    def fuse(self, ir: torch.Tensor, visible: torch.Tensor, parameters: ParametersT, runtime: Runtime) -> Fusion:
        """Run both steps."""
        return self.combine(self.analyse(ir, visible, parameters, runtime), parameters, runtime)
