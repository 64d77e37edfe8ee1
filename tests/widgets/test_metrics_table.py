"""The values as a report and as a table: directions, the best, sorting by number, copies that can be read back."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_irvisfuse._widgets.metrics_report import Report, describe, formatted
from napari_irvisfuse._widgets.metrics_table import MetricsModel, MetricsTable
from napari_irvisfuse.metrics.base import MetricInfo

ROWS, COLUMNS = Qt.Orientation.Vertical, Qt.Orientation.Horizontal
UP = MetricInfo("EN", "Entropy", "Bits.", True, (0, 8), "Shannon, 1948", "10.1000/en")
DOWN = MetricInfo("N_abf", "Artefacts", "Invented edges.", False, (0, math.inf))
PLAIN = MetricInfo("CC", "Correlation", "Likeness.", True, (-math.inf, math.inf))


def report(values: Any, metrics: Any = (UP, DOWN, PLAIN), names: Any = "ABCDEFGH") -> Report:
    rows = np.atleast_2d(np.asarray(values, dtype=float))
    return Report(tuple(names[: len(rows)]), tuple(metrics), tuple(row[None] for row in rows))


THREE = report([[7.0, 0.10, 0.5], [10.0, 0.02, math.nan], [9.0, 0.30, 0.25]])


def shown(model: MetricsModel) -> list[list[str]]:
    return [
        [model.data(model.index(row, column)) for column in range(model.columnCount())]
        for row in range(model.rowCount())
    ]


def headers(model: MetricsModel, orientation: Qt.Orientation) -> list[str]:
    count = model.columnCount() if orientation == COLUMNS else model.rowCount()
    return [str(model.headerData(i, orientation)) for i in range(count)]


@pytest.fixture
def table(qtbot: Any) -> MetricsTable:
    table = MetricsTable()
    qtbot.addWidget(table)
    table.show_report(THREE)
    return table


# -- the report -------------------------------------------------------------------------------------------------------


def test_the_best_follows_the_direction() -> None:
    assert THREE.best.tolist() == [[False, False, True], [True, True, False], [False, False, False]]


def test_one_result_and_equal_results_have_no_best() -> None:
    assert not report([[1, 2, 3]]).best.any()
    assert not report([[1, 2, 3], [1, 2, 3]]).best.any()
    assert report([[1, 2, 3], [1, 2, 3], [0, 3, 1]]).best.tolist() == [[True] * 3, [True] * 3, [False] * 3]


def test_scores_are_outwards_for_better() -> None:
    np.testing.assert_allclose(THREE.scores, [[0, 0.2 / 0.28, 1], [1, 1, math.nan], [2 / 3, 0, 0]])


def test_scores_of_the_infinite_the_equal_and_the_absent() -> None:
    perfect = report([[math.inf, 0, math.nan], [20, 0, math.nan], [10, 0, math.nan]])
    np.testing.assert_allclose(perfect.scores, [[1, 1, math.nan], [0.5, 1, math.nan], [0, 1, math.nan]])
    assert perfect.best[:, 0].tolist() == [True, False, False]


def test_frames_are_averaged_where_there_is_a_value() -> None:
    frames = np.array([[1, 2, math.nan], [3, 4, math.nan], [5, math.nan, math.nan]], dtype=float)
    np.testing.assert_allclose(Report(("A",), (UP, DOWN, PLAIN), (frames,)).values, [[3, 3, math.nan]])


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.82484, 0.5], ["0.8248", "0.5000"]),
        ([7.14018, 10.0], ["7.14", "10.00"]),
        ([0.00304, 0.0006], ["0.00304", "0.00060"]),
        ([3.2e-7, 0.5], ["3.20e−07", "0.5000"]),
        ([math.nan, math.inf, -1.5], ["–", "∞", "−1.500"]),
        ([123456.0, 1.0], ["123456", "1"]),
        ([0.0], ["0.0000"]),
    ],
)
def test_numbers_beside_each_other_have_the_same_decimals(values: list[float], texts: list[str]) -> None:
    assert formatted(values) == texts


def test_a_tooltip_says_all_there_is_to_know() -> None:
    words = describe(UP)
    for word in ("Entropy", "EN", "Bits.", "Higher is better", "from 0 to 8", "Shannon, 1948", "10.1000/en"):
        assert word in words
    assert "Lower is better, at least 0." in describe(DOWN)
    assert describe(PLAIN).splitlines()[-1] == "Higher is better."


# -- the table --------------------------------------------------------------------------------------------------------


def test_metrics_are_rows_with_their_direction(table: MetricsTable) -> None:
    assert headers(table.values, ROWS) == ["EN ↑", "N_abf ↓", "CC ↑"]
    assert headers(table.values, COLUMNS) == ["A", "B", "C"]
    assert shown(table.values) == [["7.00", "10.00", "9.00"], ["0.1000", "0.0200", "0.3000"], ["0.5000", "–", "0.2500"]]
    table.turn()
    assert headers(table.values, COLUMNS) == ["EN ↑", "N_abf ↓", "CC ↑"]
    assert shown(table.values)[1] == ["10.00", "0.0200", "–"]


@pytest.mark.parametrize("turned", [False, True])
def test_the_best_is_bold_and_coloured(table: MetricsTable, turned: bool) -> None:
    if turned:
        table.turn()
    model = table.values
    for row in range(3):
        for column in range(3):
            index = model.index(row, column)
            font = model.data(index, Qt.ItemDataRole.FontRole)
            marked = font is not None and font.bold()
            assert marked == THREE.best[model.place(row, column)]
            assert marked == (model.data(index, Qt.ItemDataRole.BackgroundRole) is not None)


def test_sorting_is_by_number_best_first_and_nan_last(table: MetricsTable) -> None:
    model = table.values
    table.verticalHeader().sectionClicked.emit(0)  # 10.0 is more than 9.0 and 7.0, though not as text
    assert headers(model, COLUMNS) == ["B", "C", "A"]
    assert shown(model)[0] == ["10.00", "9.00", "7.00"]
    assert headers(model, ROWS)[0] == "EN ↑ ▾"
    table.verticalHeader().sectionClicked.emit(0)
    assert shown(model)[0] == ["7.00", "9.00", "10.00"]
    table.verticalHeader().sectionClicked.emit(1)  # lower is better
    assert shown(model)[1] == ["0.0200", "0.1000", "0.3000"]
    table.verticalHeader().sectionClicked.emit(2)
    assert shown(model)[2] == ["0.5000", "0.2500", "–"]
    table.verticalHeader().sectionClicked.emit(2)
    assert shown(model)[2] == ["0.2500", "0.5000", "–"]


def test_a_result_sorts_the_metrics_by_value(table: MetricsTable) -> None:
    table.horizontalHeader().sectionClicked.emit(0)
    assert [name.split()[0] for name in headers(table.values, ROWS)] == ["EN", "CC", "N_abf"]
    assert headers(table.values, COLUMNS)[0] == "A ▾"
    assert shown(table.values)[1] == ["0.5000", "–", "0.2500"]  # the whole line has moved
    table.horizontalHeader().sectionClicked.emit(0)
    assert [name.split()[0] for name in headers(table.values, ROWS)] == ["N_abf", "CC", "EN"]


def test_turned_the_columns_sort_the_results(table: MetricsTable) -> None:
    table.turn()
    table.horizontalHeader().sectionClicked.emit(0)
    assert headers(table.values, ROWS) == ["B", "C", "A"]


def test_a_click_tells_which_metric_however_sorted(table: MetricsTable, qtbot: Any) -> None:
    table.horizontalHeader().sectionClicked.emit(0)
    chosen: list[int] = []
    table.metric_chosen.connect(chosen.append)
    table.clicked.emit(table.values.index(1, 2))
    table.verticalHeader().sectionClicked.emit(2)
    assert chosen == [2, 1]


def test_the_model_is_sound(qtmodeltester: Any) -> None:
    model = MetricsModel()
    qtmodeltester.check(model)
    model.show_report(THREE)
    qtmodeltester.check(model)


def test_csv_comes_back_exactly(table: MetricsTable) -> None:
    awkward = report([[1 / 3, 1e-17, math.pi]], names=['a "b", c'])
    table.show_report(awkward)
    text = table.copy_csv()
    assert QApplication.clipboard().text() == text
    header, line = csv.reader(io.StringIO(text))
    assert header == ["result", "EN", "N_abf", "CC"]
    assert line[0] == 'a "b", c'
    assert [float(cell) for cell in line[1:]] == [1 / 3, 1e-17, math.pi]


def test_markdown_comes_back_as_shown(table: MetricsTable) -> None:
    table.show_report(report([[7, 0.1, 0.5], [10, 0.02, 0.4]], names=["a|b", "c"]))
    text = table.copy_markdown()
    assert QApplication.clipboard().text() == text
    lines = [line.strip("| ").replace("\\|", "!").split("|") for line in text.splitlines()]
    cells = [[cell.strip() for cell in line] for line in lines]
    assert cells[0] == ["metric", "a!b", "c"]
    assert {len(line) for line in cells} == {3}
    assert cells[2] == ["EN ↑", "7.00", "**10.00**"]
    assert cells[3] == ["N_abf ↓", "0.1000", "**0.0200**"]
    assert cells[4] == ["CC ↑", "**0.5000**", "0.4000"]


def test_few_columns_share_the_width_and_many_scroll(table: MetricsTable, qtbot: Any) -> None:
    table.resize(280, 100)
    table.show()
    qtbot.waitExposed(table)
    assert sum(table.columnWidth(i) for i in range(3)) <= table.viewport().width()
    assert not table.verticalScrollBar().isVisible()
    table.show_report(report(np.random.default_rng(0).random((8, 3))))
    assert table.horizontalScrollBar().maximum() > 0
    assert table.columnWidth(0) >= table.sizeHintForColumn(0)
