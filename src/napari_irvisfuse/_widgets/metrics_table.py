"""The table of values: metrics against results, sortable by number, the best of each metric highlighted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor, QFont, QKeySequence, QResizeEvent, QShortcut, QShowEvent
from qtpy.QtWidgets import QAbstractItemView, QApplication, QFrame, QHeaderView, QTableView

from .metrics_report import Report, arrow, describe

__all__ = ["MetricsModel", "MetricsTable"]

_BEST = QColor(76, 175, 110, 70)  # the green of a success, seen on dark and on light
_EMPTY = Report((), (), ())
_NARROWEST, _WIDEST = 50, 140
_ROW = 20
_SMALLER = 0.9  # than the text around it: so three results fit into a narrow dock
_STYLE = (
    "QTableView, QHeaderView::section {{ font-size: {size:.1f}pt; }}"
    " QTableView::item {{ padding: 0px 1px; }} QHeaderView::section {{ padding: 2px 1px; }}"
)


class MetricsModel(QAbstractTableModel):
    """A report as Qt reads it.

    Parameters
    ----------
    results_as_rows
        A line per result and a column per metric; otherwise the other way round.
    """

    def __init__(self, *, results_as_rows: bool = False) -> None:
        super().__init__()
        self._report = _EMPTY
        self._texts: list[list[str]] = []
        self._best = np.zeros((0, 0), dtype=np.bool_)
        self._order: tuple[list[int], list[int]] = ([], [])  # of the results, of the metrics
        self._sorted_by: tuple[bool, int, bool] | None = None  # a metric?, which, best or highest first
        self._results_as_rows = results_as_rows

    # -- contents --------------------------------------------------------------------------------------------------

    @property
    def report(self) -> Report:
        """What is shown."""
        return self._report

    @property
    def results_as_rows(self) -> bool:
        """Whether a line is a result."""
        return self._results_as_rows

    @results_as_rows.setter
    def results_as_rows(self, value: bool) -> None:
        self.beginResetModel()
        self._results_as_rows = value
        self.endResetModel()

    def show_report(self, report: Report) -> None:
        """Show other values, in the order of the report."""
        self.beginResetModel()
        self._report, self._texts, self._best = report, report.texts(), report.best
        self._order = (list(range(len(report.results))), list(range(len(report.metrics))))
        self._sorted_by = None
        self.endResetModel()

    def place(self, row: int, column: int) -> tuple[int, int]:
        """Return which result and which metric of the report a cell shows."""
        result, metric = (row, column) if self._results_as_rows else (column, row)
        return self._order[0][result], self._order[1][metric]

    def metric_at(self, orientation: Qt.Orientation, section: int) -> int | None:
        """Return which metric a header section names, None if it names a result."""
        return self._order[1][section] if self._names_metrics(orientation) else None

    # -- sorting ---------------------------------------------------------------------------------------------------

    def sort_by(self, orientation: Qt.Orientation, section: int) -> None:
        """Sort by the section of a header, best or highest first; the other way round if it is so already.

        A metric sorts the results by its values, the best first. A result sorts the metrics by its values.
        """
        is_metric = self._names_metrics(orientation)
        chosen = self._order[is_metric][section]
        before = self._sorted_by
        first = not (before is not None and before[:2] == (is_metric, chosen) and before[2])
        values = self._report.values[:, chosen] if is_metric else self._report.values[chosen]
        lowest_first = is_metric and not self._report.metrics[chosen].higher_is_better
        self.beginResetModel()
        self._sorted_by = (is_metric, chosen, first)
        self._order[not is_metric][:] = _sorted(values, highest_first=first is not lowest_first)
        self.endResetModel()

    def _names_metrics(self, orientation: Qt.Orientation) -> bool:
        return (orientation == Qt.Orientation.Horizontal) is self._results_as_rows

    # -- what Qt asks ----------------------------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Count the lines."""
        return 0 if parent is not None and parent.isValid() else len(self._order[not self._results_as_rows])

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Count the columns."""
        return 0 if parent is not None and parent.isValid() else len(self._order[self._results_as_rows])

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Answer what a cell shows and how."""
        result, metric = self.place(index.row(), index.column())
        if role == Qt.ItemDataRole.DisplayRole:
            return self._texts[result][metric]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ToolTipRole:
            value = float(self._report.values[result, metric])
            return f"{self._report.results[result]}\n{self._report.metrics[metric].name} = {value!r}"
        if self._best[result, metric]:
            return _emphasis(role)
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> str | None:
        """Answer what a header says: a metric with its direction, or a result."""
        is_metric = self._names_metrics(orientation)
        chosen = self._order[is_metric][section]
        if role == Qt.ItemDataRole.DisplayRole:
            mark = ""
            if self._sorted_by is not None and self._sorted_by[:2] == (is_metric, chosen):
                mark = " ▾" if self._sorted_by[2] else " ▴"
            if not is_metric:
                return self._report.results[chosen] + mark
            info = self._report.metrics[chosen]
            return f"{info.name} {arrow(info)}{mark}"
        if role == Qt.ItemDataRole.ToolTipRole:
            sorts = "Click: sort the {}; again: the other way round."
            if is_metric:
                return f"{describe(self._report.metrics[chosen])}\n\n{sorts.format('results, the best first')}"
            return f"{self._report.results[chosen]}\n\n{sorts.format('metrics by value')}"
        return None


class MetricsTable(QTableView):
    """The table, as high as its contents: the page around it scrolls.

    Attributes
    ----------
    metric_chosen
        ``metric_chosen(index)``: the user clicked into the row or column of this metric of the report.
    """

    metric_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.values = MetricsModel()
        self.setModel(self.values)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setWordWrap(False)
        self.setCornerButtonEnabled(False)
        for header in (self.horizontalHeader(), self.verticalHeader()):
            header.setSectionsClickable(True)
            header.setHighlightSections(False)
            header.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.horizontalHeader().setMaximumSectionSize(_WIDEST)
        self.horizontalHeader().sectionClicked.connect(self._on_column_header)
        self.verticalHeader().sectionClicked.connect(self._on_row_header)
        self.clicked.connect(self._on_clicked)
        copy = QShortcut(QKeySequence(QKeySequence.StandardKey.Copy), self)
        copy.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        copy.activated.connect(self.copy_csv)

    def show_report(self, report: Report) -> None:
        """Show other values."""
        self.values.show_report(report)
        self._fit()

    def turn(self) -> None:
        """Exchange rows and columns."""
        self.values.results_as_rows = not self.values.results_as_rows
        self._fit()

    def copy_csv(self) -> str:
        """Put the values on the clipboard, at full precision, and return the text."""
        return _copied(self.values.report.as_csv())

    def copy_markdown(self) -> str:
        """Put the table on the clipboard as it is shown, and return the text."""
        return _copied(self.values.report.as_markdown())

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take up the size of the text around it, which napari sets."""
        super().showEvent(event)
        around = self.parentWidget()
        size = around.font().pointSizeF() if around is not None else 0
        if size > 0:
            self.setStyleSheet(_STYLE.format(size=size * _SMALLER))
            self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Share out the new width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Let the columns share the width, or scroll if there are too many; take the height of the contents."""
        header = self.horizontalHeader()
        widest = max((self.sizeHintForColumn(column) for column in range(header.count())), default=0)
        needed = header.count() * max(widest, _NARROWEST)
        roomy = needed <= self.width() - self.verticalHeader().sizeHint().width() - 2
        mode = QHeaderView.ResizeMode.Stretch if roomy else QHeaderView.ResizeMode.ResizeToContents
        header.setSectionResizeMode(mode)
        scrollbar = 0 if roomy else self.horizontalScrollBar().sizeHint().height()
        self.setFixedHeight(header.sizeHint().height() + self.values.rowCount() * _ROW + scrollbar + 4)

    def _on_clicked(self, index: QModelIndex) -> None:
        self.metric_chosen.emit(self.values.place(index.row(), index.column())[1])

    def _on_column_header(self, section: int) -> None:
        self._on_header(Qt.Orientation.Horizontal, section)

    def _on_row_header(self, section: int) -> None:
        self._on_header(Qt.Orientation.Vertical, section)

    def _on_header(self, orientation: Qt.Orientation, section: int) -> None:
        metric = self.values.metric_at(orientation, section)
        self.values.sort_by(orientation, section)
        self._fit()
        if metric is not None:
            self.metric_chosen.emit(metric)


def _sorted(values: Sequence[float] | np.ndarray, *, highest_first: bool) -> list[int]:
    """Return the order of numbers; what is none comes last in either direction, equals stay as they were."""
    keyed = [(np.isnan(value), -value if highest_first else value, index) for index, value in enumerate(values)]
    return [index for *_, index in sorted(keyed, key=lambda item: (item[0], 0.0 if item[0] else item[1]))]


def _emphasis(role: int) -> Any:
    if role == Qt.ItemDataRole.BackgroundRole:
        return _BEST
    if role == Qt.ItemDataRole.FontRole:
        font = QFont()
        font.setBold(True)
        return font
    return None


def _copied(text: str) -> str:
    clipboard = QApplication.clipboard()
    if clipboard is not None:
        clipboard.setText(text)
    return text
