"""What all dock widgets have in common: settings that are remembered, and an end when the dock lets go of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from magicgui.widgets import Container

from . import settings
from .qt_parts import single_shot
from .viewer_link import ViewerLink

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["DockedWidget"]

_SAVE_MS = 500


class _View(Protocol):
    def state(self) -> dict[str, Any]: ...


class DockedWidget(Container):
    """A widget beside a viewer.

    A dock that is closed with its "x" sends no closeEvent and is not destroyed at once, so the widget stops when it
    loses its window, and goes on if it is docked again. Only bound methods are connected: a widget that Qt's signals
    kept alive would never end.

    Parameters
    ----------
    viewer
        Whose changes :attr:`_link` tells.
    name
        Under which the settings are saved.
    remember
        Save the settings on every change, if the user's preference says so too.
    """

    view: _View

    def __init__(self, viewer: ViewerModel, name: str, *, remember: bool) -> None:
        super().__init__(labels=False)
        self._viewer = viewer
        self._settings_name, self._remember = name, remember
        self._docked = False
        self._link = ViewerLink(viewer)
        self._save_timer = single_shot(self.native, _SAVE_MS, self._save)

    def _take_up(self) -> None:
        """Catch up with a viewer that nobody listened to for a while."""
        raise NotImplementedError

    def _let_go(self) -> None:
        """Stop what runs."""
        raise NotImplementedError

    def _remembered(self) -> dict[str, Any]:
        """Return the settings used last; empty if they are not to be remembered."""
        return settings.load(self._settings_name) if self._remembers() else {}

    def _attach(self) -> None:
        """Listen to the viewer and to the dock from now on."""
        self._link.attach()
        self.native_parent_changed.connect(self._on_parent_changed)
        self.native.destroyed.connect(self._on_destroyed)

    def _on_parent_changed(self, _: Any = None) -> None:
        if self.native.parent() is not None:
            self._docked = True
            self._link.attach()
            self._take_up()
        elif self._docked:
            self._docked = False
            self._save()
            self._let_go()
            self._link.detach()

    def _on_destroyed(self, _: Any = None) -> None:
        self._link.detach()

    def _remembers(self) -> bool:
        return self._remember and bool(settings.preference("remember_settings"))

    def _save(self) -> None:
        if self._remembers():
            settings.save(self._settings_name, self.view.state())
