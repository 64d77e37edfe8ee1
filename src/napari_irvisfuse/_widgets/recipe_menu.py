"""Taking settings out of the fuse widget and back in: Python code and recipe files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from qtpy.QtWidgets import QApplication, QFileDialog

from napari_irvisfuse.errors import AlignmentError, FusionError
from napari_irvisfuse.images.grids import fit, inverse, same_place
from napari_irvisfuse.recipe import Recipe

from .layer_geometry import matrix_between, plane_shape
from .layer_pairs import problem_with_planes

if TYPE_CHECKING:
    from .align_moves import Moves
    from .fuse_view import FuseView
    from .fusion_jobs import Request

__all__ = ["RecipeMenu"]

_FILTER = "Recipes (*.yaml *.yml *.json);;All files (*)"


class _Tell(Protocol):
    def __call__(self, text: str, *, trouble: bool = False) -> None: ...


class RecipeMenu:
    """The entries of the menu beside Run.

    Parameters
    ----------
    view
        The controls.
    request
        Returns what Run would do, or None.
    recipe
        Returns the recipe of what is shown or set.
    moves
        Puts the infrared layer where a recipe says, and back.
    tell
        Shows a sentence in the widget.
    """

    def __init__(
        self,
        view: FuseView,
        *,
        request: Callable[[], Request | None],
        recipe: Callable[[], Recipe],
        moves: Moves,
        tell: _Tell,
    ) -> None:
        self._view, self._request, self._recipe, self._moves, self._tell = view, request, recipe, moves, tell
        self._loaded: Recipe | None = None
        bar = view.run_bar
        bar.add_action("Copy as Python", self.copy_as_python, "Code for the console that gives the same result")
        bar.add_action("Save recipe…", self._on_save, "A small file that the command line and Python replay")
        bar.add_action("Load recipe…", self._on_load, "Take over all settings and the alignment")
        bar.add_action("Undo alignment", self.undo, "Put the infrared layer back where it was before a recipe moved it")
        bar.add_separator()
        bar.add_action("Reset all settings", self.reset, "Everything but the layers and the method")

    @property
    def weights_sha256(self) -> str | None:
        """Hash of the weights that the recipe was made with which was loaded, None if it was of another method."""
        loaded = self._loaded
        return loaded.weights_sha256 if loaded is not None and loaded.method == self._view.methods.name else None

    def copy_as_python(self, _: bool = False) -> str:
        """Put Python code for the current settings on the clipboard, and return it."""
        request = self._request()
        if request is None:
            self._tell("Choose two layers first: the code names them.", trouble=True)
            return ""
        code = request.as_python()
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(code)
        self._tell("Python code for these settings is on the clipboard.")
        return code

    def save(self, path: str | Path) -> None:
        """Write the settings as a recipe; what is wrong is said in the widget."""
        try:
            saved = self._recipe().save(path)
        except FusionError as error:
            self._tell(str(error), trouble=True)
        else:
            self._tell(f"Recipe saved as {saved.name}.")

    def load(self, path: str | Path) -> None:
        """Take over a recipe, and put the infrared layer where it says; what is wrong is said in the widget."""
        view = self._view
        try:
            recipe = Recipe.load(path)
            view.methods.choose(recipe.method, recipe.parameters)
        except FusionError as error:
            self._tell(str(error), trouble=True)
            return
        self._loaded = recipe
        # the device is chosen anew: a recipe made on a GPU is replayed on a laptop
        view.device.choose(view.device.device, recipe.precision)
        view.ir_window.value, view.visible_window.value = recipe.ir_window, recipe.visible_window
        view.output_box.value, view.grid.value = recipe.output, recipe.grid
        view.stack.state = {"smoothing": recipe.smoothing, "windows": recipe.windows}
        part = " Its region is left out: choose what to fuse." if recipe.region else ""
        taken = f"Settings taken from {Path(path).name}."
        try:
            placed = self._place(recipe)
        except AlignmentError as error:
            self._tell(f"{taken} Its alignment is left out. {error}", trouble=True)
        else:
            self._tell(f"{taken}{placed}{part}")

    def undo(self, _: bool = False) -> None:
        """Put the infrared layer back where it was before a recipe moved it."""
        said = self._moves.undo()
        self._tell(said)

    def _place(self, recipe: Recipe) -> str:
        """Put the infrared layer where a recipe says, and say so.

        Raises
        ------
        AlignmentError
            If there are no two layers, if they have other sizes than the images that the recipe was made with, or if it
            is a homography.
        """
        ir, visible = self._view.layers.ir, self._view.layers.visible
        if recipe.ir_to_visible is None:
            return ""
        if ir is None or visible is None or problem_with_planes(ir, visible):
            raise AlignmentError("Choose two layers, and load it again.")
        shapes = plane_shape(ir), plane_shape(visible)
        matrix = fit(*shapes)
        if recipe.alignment is not None:
            recipe.alignment.check_shapes(*shapes)
            matrix = recipe.alignment.ir_to_visible
        if same_place(inverse(matrix_between(ir, visible)) @ matrix, shapes[0], shapes[0]):
            return ""
        self._moves.move(ir, visible, matrix)
        return f" {ir.name!r} lies where it says: Undo alignment in this menu puts it back."

    def reset(self, _: bool = False) -> None:
        """Put all settings but the layers and the method back to their defaults."""
        self._loaded = None
        self._view.reset()
        self._tell("All settings are back at their defaults.")

    def _on_save(self, _: bool = False) -> None:
        method = self._view.method
        name = f"{method.name if method is not None else 'fusion'}.yaml"
        path, _kind = QFileDialog.getSaveFileName(self._view.run_bar.native, "Save recipe", name, _FILTER)
        if path:
            self.save(path if Path(path).suffix else f"{path}.yaml")

    def _on_load(self, _: bool = False) -> None:
        path, _kind = QFileDialog.getOpenFileName(self._view.run_bar.native, "Load recipe", "", _FILTER)
        if path:
            self.load(path)
