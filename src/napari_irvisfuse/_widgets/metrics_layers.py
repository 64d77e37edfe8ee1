"""Which layers to measure: one fused layer with its sources, or all our results; the boxes follow the viewer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from psygnal import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from .layer_choice import LayerChoice
from .layers import TAG, results_of, run_title
from .metrics_jobs import Subject, problem_with_subject
from .qt_parts import hint, rows

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["ALL", "ONE", "SubjectChoice"]

ONE, ALL = "one", "all"
_FUSED_WORD = re.compile(r"fus(ed|ion|e)", re.IGNORECASE)


class _FusedBox(ComboBox):
    null_string = "choose a layer"


class SubjectChoice:
    """One result with its infrared and visible layer, or every result of ours whose sources are still there.

    Parameters
    ----------
    viewer
        Whose layers to offer.

    Attributes
    ----------
    changed
        The choice is another one, by the user or because layers came and went.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._fused: Image | None = None
        self._chosen_by_user = False
        self.mode_box = ComboBox(
            choices=[("one result", ONE), ("all our results", ALL)],
            tooltip="One fused layer, or every fused layer that this plugin has added.",
        )
        self.fused_box = _FusedBox(choices=self._choices, nullable=True, tooltip="The fused image to measure.")
        self.sources = LayerChoice(viewer)
        self.found = hint()
        self._one = QWidget()
        self.native = self._laid_out()
        self.mode_box.changed.connect(self._on_mode)
        self.fused_box.changed.connect(self._on_fused)
        self.sources.changed.connect(self._on_sources)
        self.refresh()

    @property
    def mode(self) -> str:
        """``"one"`` or ``"all"``."""
        return str(self.mode_box.value)

    @property
    def fused(self) -> Image | None:
        """The fused layer of the one result, or None."""
        return self._fused

    @property
    def layers(self) -> set[Image]:
        """All layers that are chosen, whether they can be measured or not."""
        if self.mode == ALL:
            return {layer for subject in self._ours() for layer in subject.layers}
        return {layer for layer in (self._fused, self.sources.ir, self.sources.visible) if layer is not None}

    def subjects(self) -> tuple[Subject, ...]:
        """Return what can be measured; empty if there is a :meth:`problem`."""
        if self.mode == ALL:
            return tuple(subject for subject in self._ours() if problem_with_subject(*subject.layers) is None)
        fused, ir, visible = self._fused, self.sources.ir, self.sources.visible
        if fused is None or ir is None or visible is None or self.problem():
            return ()
        return (Subject(run_title(fused), fused, ir, visible),)

    def problem(self) -> str:
        """Say why nothing can be measured; empty if something can."""
        if self.mode == ONE:
            return problem_with_subject(self._fused, self.sources.ir, self.sources.visible) or ""
        ours = self._ours()
        if not ours:
            return "There is no result of this plugin whose infrared and visible layer are still open: fuse them first."
        problems = [problem_with_subject(*subject.layers) for subject in ours]
        return "" if None in problems else str(problems[0])

    def choose(self, fused: Image | None, ir: Image | None = None, visible: Image | None = None) -> None:
        """Choose one result, as the user would; of a result of ours the sources are known."""
        self._chosen_by_user = True
        self.mode_box.value = ONE
        self._show(fused)
        if ir is not None or visible is not None:
            self.sources.choose(ir, visible)

    def keep(self) -> None:
        """Stop guessing: layers that are added from now on leave the choice as it is."""
        self._chosen_by_user = True
        self.sources.keep()

    def refresh(self) -> None:
        """Follow the viewer's layers: what was chosen stays, what is missing is guessed."""
        self.sources.refresh()
        there = self._fused is not None and self._fused in self._viewer.layers
        self._show(self._fused if there and self._chosen_by_user else self._guess())
        self._tell()

    def _ours(self) -> list[Subject]:
        return [Subject(run_title(found[0]), *found) for found in results_of(self._viewer.layers)]

    def _guess(self) -> Image | None:
        """Return our latest result, else the topmost layer that is called fused."""
        ours = self._ours()
        if ours:
            return max(ours, key=lambda subject: subject.fused.metadata[TAG]["run"]).fused
        sources = (self.sources.ir, self.sources.visible)
        named = [layer for layer in self._images() if _FUSED_WORD.search(layer.name) and layer not in sources]
        return named[-1] if named else None

    def _show(self, fused: Image | None) -> None:
        with self.fused_box.changed.blocked():
            self.fused_box.reset_choices()
            self.fused_box.value = fused
        if fused is self._fused:
            return
        self._fused = fused
        pair = next((found[1:] for found in results_of(self._viewer.layers) if found[0] is fused), None)
        if pair is not None and pair != (self.sources.ir, self.sources.visible):
            self.sources.choose(*pair)  # tells of the change
        else:
            self.changed.emit()

    def _tell(self) -> None:
        everything = self.mode == ALL
        self._one.setVisible(not everything)
        lines = []
        for subject in self._ours() if everything else ():
            problem = problem_with_subject(*subject.layers)
            lines.append(f"{subject.name}: left out. {problem}" if problem else subject.name)
        self.found.setText(" · ".join(lines))
        self.found.setVisible(bool(lines))

    def _images(self) -> list[Image]:
        from napari.layers import Image

        return [layer for layer in self._viewer.layers if isinstance(layer, Image)]

    def _choices(self, _: Any = None) -> list[tuple[str, Image]]:
        return [(layer.name, layer) for layer in self._images()]

    def _on_mode(self, _: Any = None) -> None:
        self._tell()
        self.changed.emit()

    def _on_fused(self, fused: Image | None) -> None:
        self._chosen_by_user = True
        self._show(fused)

    def _on_sources(self) -> None:
        self.changed.emit()

    def _laid_out(self) -> QWidget:
        native = QWidget()
        column = QVBoxLayout(native)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        one = QVBoxLayout(self._one)
        one.setContentsMargins(0, 0, 0, 0)
        one.setSpacing(5)
        one.addWidget(rows(("Fused", self.fused_box.native)))
        one.addWidget(self.sources.native)
        column.addWidget(rows(("Measure", self.mode_box.native)))
        column.addWidget(self._one)
        column.addWidget(self.found)
        return native
