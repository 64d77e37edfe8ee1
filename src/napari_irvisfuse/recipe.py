"""Recipes: everything needed to repeat a fusion, as a small file that people can read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import FusionError, ParameterError, RecipeError
from .images.alignment_files import Alignment, as_shape
from .images.files import write_atomically
from .images.grids import as_matrix
from .images.pair import Output, check_output_rule
from .images.placement import GridChoice, PlacementSpec, check_grid, parse_rows
from .images.ranges import Windows, WindowSpec, check_windows, parse_window
from .images.regions import parse_region
from .images.temporal import check_smoothing

__all__ = ["Recipe", "other_weights"]

FORMAT = 1
_ARGUMENTS = ("ir", "visible", "frames", "maps", "progress", "cancelled")  # of fuse(), besides those that a recipe has


@dataclass(frozen=True)
class Recipe:
    """How a result was made.

    Parameters
    ----------
    method
        Name of the method.
    parameters
        All of its parameters, defaults included.
    device, precision
        What was used, for example ``"cpu"`` and ``"bfloat16"``.
    weights, weights_sha256
        Name of the weights and hash of the file, or None if the method needs none.
    ir_window, visible_window
        The intensity windows as asked for.
    ir_to_visible, grid
        How the images lie on each other and on whose grid they are fused, as asked for: ``"fit"``, the three rows of a
        matrix in pixels, or None if both have the same pixels; ``"visible"``, ``"ir"`` or ``"finer"``.
    ir_shape, visible_shape
        Height and width of the images that the matrix belongs to; images of other sizes are refused. None: unknown, or
        there is no matrix.
    region
        What was fused of that grid, ``(top, left, bottom, right)``; None: all of it.
    output
        Colour: ``"visible"``, ``"natural"`` or ``"luma"``.
    smoothing, windows
        Of a stack: share of the past, and whether all frames share one window.
    versions
        Of this package, torch and NumPy.
    """

    method: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    precision: str = "auto"
    weights: str | None = None
    weights_sha256: str | None = None
    ir_window: WindowSpec = "auto"
    visible_window: WindowSpec = "auto"
    ir_to_visible: PlacementSpec = None
    ir_shape: tuple[int, int] | None = None
    visible_shape: tuple[int, int] | None = None
    grid: GridChoice = "visible"
    region: tuple[int, int, int, int] | None = None
    output: Output = "visible"
    smoothing: float = 0.0
    windows: Windows = "shared"
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def alignment(self) -> Alignment | None:
        """The matrix with the sizes of the images that it belongs to, None if there is no matrix."""
        if not isinstance(self.ir_to_visible, tuple):
            return None
        return Alignment(as_matrix(self.ir_to_visible), "recipe", self.ir_shape, self.visible_shape)

    def arguments(self) -> dict[str, Any]:
        """Return keyword arguments for :func:`~napari_irvisfuse.fuse` that repeat this result.

        A matrix comes as an :class:`~napari_irvisfuse.Alignment`, which refuses images of other sizes. The device is
        left to be chosen anew (a recipe made on a GPU runs on a laptop); the precision is kept. A weights file of your
        own is not in them: give it as ``weights`` too; if the weights are others, the result's notes say so.
        """
        return {
            "method": self.method,
            "precision": self.precision,
            "ir_window": self.ir_window,
            "visible_window": self.visible_window,
            "ir_to_visible": self.alignment or self.ir_to_visible,
            "grid": self.grid,
            "region": self.region,
            "output": self.output,
            "smoothing": self.smoothing,
            "windows": self.windows,
            "weights_sha256": self.weights_sha256,
            **self.parameters,
        }

    def as_python(self, ir: str = '"ir.png"', visible: str = '"visible.png"') -> str:
        """Return Python code that repeats this result; ``ir`` and ``visible`` are expressions."""
        default = Recipe(self.method).arguments()
        chosen = {**self.arguments(), "ir_to_visible": self.ir_to_visible}  # code names its images, and can be read
        extra = {key: value for key, value in chosen.items() if default.get(key) != value or key == "method"}
        lines = [f"    {key}={value!r}," for key, value in extra.items()]
        if "weights_sha256" in extra:
            lines.append('    # weights="…",  # if it was made with a file of your own')
        body = "\n".join([f"    {ir},", f"    {visible},", *lines])
        return f"import napari_irvisfuse as nif\n\nresult = nif.fuse(\n{body}\n)\n"

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dictionaries."""
        return {"irvisfuse_recipe": FORMAT, **_plain(dataclasses.asdict(self))}

    @classmethod
    def from_dict(cls, data: Any) -> Recipe:
        """Build a recipe from what :meth:`to_dict` returned.

        Raises
        ------
        RecipeError
            If it is not a recipe, or one of a later format.
        """
        if not isinstance(data, Mapping) or "irvisfuse_recipe" not in data:
            raise RecipeError("This is not a recipe: the key irvisfuse_recipe is missing.")
        if data["irvisfuse_recipe"] != FORMAT:
            raise RecipeError(
                f"This recipe has format {data['irvisfuse_recipe']!r}, this version reads {FORMAT}: update the package."
            )
        fields = {key: value for key, value in data.items() if key != "irvisfuse_recipe"}
        known = {item.name for item in dataclasses.fields(cls)}
        unknown = [key for key in fields if key not in known]
        if unknown:
            raise RecipeError(f"The recipe has an unknown key {unknown[0]!r}; it may have {', '.join(sorted(known))}.")
        if not isinstance(fields.get("method"), str):
            raise RecipeError("The recipe names no method.")
        for key in ("parameters", "versions"):
            table = fields.get(key, {})
            if not isinstance(table, Mapping) or not all(isinstance(name, str) for name in table):
                raise RecipeError(f"In the recipe, {key} must be a table of names and values.")
        for name in fields.get("parameters", {}):
            if name in known or name in _ARGUMENTS:
                raise RecipeError(
                    f"In the recipe, method {fields['method']!r} has no parameter {name!r}: take it out of parameters."
                )
        for key in ("device", "precision", "weights", "weights_sha256"):
            if not isinstance(fields.get(key, ""), str | None):
                raise RecipeError(f"In the recipe, {key} must be text; got {fields[key]!r}.")
        try:
            check_output_rule(fields.get("output", "visible"))
            check_smoothing(fields.get("smoothing", 0.0))
            check_windows(fields.get("windows", "shared"))
        except ParameterError as error:
            raise RecipeError(f"In the recipe, {error}") from error
        for key in ("ir_window", "visible_window"):
            try:
                fields[key] = parse_window(fields.get(key, "auto"))
            except ParameterError as error:
                raise RecipeError(f"In the recipe, {key} is none: {error}") from error
        try:
            fields["grid"] = check_grid(fields.get("grid", "visible"))
            fields["ir_to_visible"] = parse_rows(fields.get("ir_to_visible"))
            for key in ("ir_shape", "visible_shape"):
                fields[key] = as_shape(fields.get(key), key)
            region = parse_region(fields.get("region"))
            fields["region"] = None if region is None else dataclasses.astuple(region)
        except FusionError as error:
            raise RecipeError(f"In the recipe, {error}") from error
        return cls(**fields)

    def to_json(self) -> str:
        """Return the recipe as JSON."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_yaml(self) -> str:
        """Return the recipe as YAML."""
        import yaml

        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False)
        return text

    @classmethod
    def from_text(cls, text: str) -> Recipe:
        """Read JSON or YAML.

        Raises
        ------
        RecipeError
            If it is neither, or not a recipe.
        """
        import yaml

        try:  # JSON is not quite YAML: 1e-05 is a number in the one and a word in the other
            data = json.loads(text)
        except ValueError:
            try:
                data = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise RecipeError(f"The recipe is neither JSON nor YAML ({_where_and_what(error)}).") from error
        return cls.from_dict(data)

    from_json = from_text
    from_yaml = from_text

    def save(self, path: str | Path) -> Path:
        """Write the recipe; a name ending in ``.json`` gets JSON, any other YAML."""
        path = Path(path).expanduser()
        text = self.to_json() if path.suffix.lower() == ".json" else self.to_yaml()
        return write_atomically(path, lambda target: target.write_text(text, encoding="utf-8"))

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a recipe file.

        Raises
        ------
        RecipeError
            If the file is not there or not a recipe.
        """
        path = Path(path).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"The recipe {path} cannot be read ({error}).") from error
        try:
            return cls.from_text(text)
        except RecipeError as error:
            raise RecipeError(f"In {path}: {error}") from error


def _where_and_what(error: Exception) -> str:
    """Say it of a YAML error, whose text has many lines and begins with what was read before."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}: {what}" if mark else what


def other_weights(then: str | None, used: str | None) -> tuple[str, ...]:
    """Say it if a result was made with other weights than its recipe's; None is what a method brings along."""
    if then is None or then == used:
        return ()
    these = "these are the method's own" if used is None else f"these are {used[:12]}…"
    return (f"The recipe was made with other weights ({then[:12]}…, {these}): results differ.",)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
