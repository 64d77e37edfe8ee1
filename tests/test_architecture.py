"""The floors of the house: imports only ever point down, and the viewer stays in the attic."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import napari_irvisfuse as nif

PACKAGE = "napari_irvisfuse"
SOURCE = Path(nif.__file__).parent
FLOORS = {
    0: {"errors", "types"},
    1: {"networks", "weights", "images", "samples", "sparse", "tiling", "devices", "runtime", "maps"},
    2: {"algorithms", "metrics", "alignment"},
    3: {"pipeline", "recipe", "result", "session", "stacks"},
    4: {"batch", "training", "evaluation"},
    5: {"_widgets", "cli", "__init__", "__main__"},  # the public face may be used by the people on the top floor only
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}
ATTIC_ONLY = {"napari", "magicgui", "qtpy", "superqt", "npe2", "PyQt5", "PyQt6", "PySide2", "PySide6"}


@dataclass(frozen=True)
class Import:
    """One import statement, wherever in the module it stands."""

    module: str  # absolute, such as napari_irvisfuse.images.pair
    line: int
    lazy: bool  # inside a function, so not run when the module is imported
    typing_only: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    @property
    def room(self) -> str:
        """Name on the plan of the floors of one of our own modules."""
        parts = self.module.split(".")
        return parts[1] if len(parts) > 1 else "__init__"


def _module_name(path: Path) -> str:
    parts = (PACKAGE, *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def _room(module: str) -> str:
    return Import(module, 0, False, False).room


@cache
def _imports(module: str) -> tuple[Import, ...]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]

    def names(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            return
        base = node.module or ""
        if node.level:
            parent = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parent, base] if base else parent)
        for alias in node.names:  # what is imported may itself be a module
            full = f"{base}.{alias.name}"
            yield full if full in MODULES else base

    def walk(node: ast.AST, lazy: bool, typing_only: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (Import(name, node.lineno, lazy, typing_only) for name in names(node))
        lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If):
            checked = "TYPE_CHECKING" in ast.dump(node.test)
            for child in node.body:
                yield from walk(child, lazy, typing_only or checked)
            for child in node.orelse:
                yield from walk(child, lazy, typing_only)
            return
        for child in ast.iter_child_nodes(node):
            yield from walk(child, lazy, typing_only)

    return tuple(walk(ast.parse(path.read_text(encoding="utf-8")), False, False))


def test_every_module_has_a_floor():
    homeless = [module for module in MODULES if _room(module) not in FLOOR_OF]
    assert not homeless, f"on no floor: {', '.join(homeless)}; give each its place in FLOORS"


def test_imports_point_down():
    wrong = [
        f"{MODULES[module]}:{item.line}: floor {floor} imports {item.module} of floor {FLOOR_OF[item.room]}"
        for module in MODULES
        if module != PACKAGE  # the public face names everything
        for floor in [FLOOR_OF[_room(module)]]
        for item in _imports(module)
        if item.top == PACKAGE and FLOOR_OF[item.room] > floor
    ]
    assert not wrong, "imports only ever point down:\n" + "\n".join(wrong)


def test_only_the_widgets_know_the_viewer():
    wrong = [
        f"{MODULES[module]}:{item.line}: imports {item.module}"
        for module in MODULES
        if _room(module) != "_widgets"
        for item in _imports(module)
        if item.top in ATTIC_ONLY
    ]
    assert not wrong, "only _widgets may import the viewer, even inside functions:\n" + "\n".join(wrong)


def test_only_the_command_line_opens_the_widgets_and_late():
    wrong = [
        f"{MODULES[module]}:{item.line}: imports {item.module}"
        for module in MODULES
        if _room(module) != "_widgets"
        for item in _imports(module)
        if item.top == PACKAGE and item.room == "_widgets" and not (_room(module) == "cli" and item.lazy)
    ]
    assert not wrong, "only functions of the command line may open the widgets:\n" + "\n".join(wrong)


@pytest.mark.parametrize("name", sorted(FLOORS[0]))
def test_the_ground_floor_is_standard_library(name):
    for item in _imports(f"{PACKAGE}.{name}"):
        assert item.top in sys.stdlib_module_names, f"{name}.py:{item.line} imports {item.module!r}"


def test_no_import_goes_round_in_a_circle():
    """Among what is imported when a module is: such circles work or fail by the order of imports."""
    edges = {
        module: {
            item.module
            for item in _imports(module)
            if item.module in MODULES and not item.lazy and not item.typing_only and item.module != module
        }
        for module in MODULES
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, "imports in a circle: " + " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in sorted(edges[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def test_importing_the_package_is_light_and_changes_nothing():
    code = f"""
import logging, os, sys, warnings
before = dict(os.environ), list(logging.root.handlers), logging.root.level, list(warnings.filters)
import {PACKAGE} as nif
assert dir(nif)
assert issubclass(nif.FusionError, Exception)
assert before == (dict(os.environ), list(logging.root.handlers), logging.root.level, list(warnings.filters))
heavy = ("torch", "torchvision", "napari", "qtpy", "magicgui", "numpy", "scipy")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", f"importing {PACKAGE} also imports {done.stdout.strip()}"


def test_every_public_name_resolves():
    assert list(nif.__all__) == sorted(nif.__all__)
    assert set(nif.__all__) == set(nif._HOME), "__all__ and the homes of the lazy names differ"
    for name in nif.__all__:
        value = getattr(nif, name)
        assert callable(value), f"napari_irvisfuse.{name} is {value!r}"
        assert value.__doc__, f"napari_irvisfuse.{name} has no docstring"
    assert nif.__version__
    assert "__version__" in dir(nif)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = nif.no_such_name


def test_public_functions_stay_functions():
    """Importing a module of ours must not put that module in the place of a public name."""
    code = f"""
import importlib, {PACKAGE} as nif
for name in nif.__all__:
    getattr(nif, name)
for module in set(nif._HOME.values()):
    importlib.import_module("{PACKAGE}." + module)
assert "wls" in nif.methods()
assert callable(nif.fuse)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
