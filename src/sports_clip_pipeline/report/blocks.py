"""Sections of the page and the tables in them, as plain data for the template."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

INTERVAL = "95 % interval"


@dataclass(frozen=True)
class Column:
    """A table column: numbers are right-aligned, intervals muted.

    Attributes:
        name: header text.
        number: whether the cells are numbers.
        group: second header above it, shared with neighbours of the same group.
    """

    name: str
    number: bool = True
    group: str = ""

    @property
    def quiet(self) -> bool:
        """Whether the cells are muted."""
        return self.name == INTERVAL


@dataclass(frozen=True)
class Cell:
    """A table cell with a muted note below its text."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class DataTable:
    """A table of formatted text; the first cell of a row is its header.

    Attributes:
        caption: what the table shows.
        columns: as many as every row has cells.
        sortable: whether the reader can sort it by column.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    sortable: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                what = f"{len(row)} cells for {len(self.columns)} columns"
                raise ValueError(f"{self.caption}: {what}")

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Group headers with the number of columns each spans; empty without groups."""
        names = [column.group for column in self.columns]
        spans = tuple((name, len(list(some))) for name, some in itertools.groupby(names))
        return spans if any(names) else ()

    @property
    def group_starts(self) -> frozenset[int]:
        """Indices of the columns at which a named group starts."""
        pairs = itertools.pairwise(["", *(column.group for column in self.columns)])
        return frozenset(i for i, (left, name) in enumerate(pairs) if name and name != left)


@dataclass(frozen=True)
class Thumbnail:
    """A small image with a caption.

    Attributes:
        src: data URI; empty if there is no picture.
        alt: alternative text.
        title, line: bold and muted caption.
        image: its name.
    """

    src: str
    alt: str
    title: str
    lines: tuple[str, ...]
    image: str


@dataclass(frozen=True)
class Section:
    """A section of the page: text, figure, tables and images on one subject.

    Attributes:
        name: id on the page; the figure's dataset is `<name>_figure`.
        title, text: heading and one or two sentences.
        figure: plotly figure whose layout has a height.
        tables: shown as they are. folded: shown in a `details` element with the title `fold`,
            which is open at first if `fold_open` and left out in print if `bulky`.
        thumbnails: images to look at.
        warning, notes: shown before and after the tables.
        min_width: pixels below which the figure scrolls instead of shrinking.
    """

    name: str
    title: str
    text: str = ""
    figure: go.Figure | None = None
    tables: tuple[DataTable, ...] = ()
    folded: tuple[DataTable, ...] = ()
    fold: str = "In numbers"
    fold_open: bool = False
    bulky: bool = False
    thumbnails: tuple[Thumbnail, ...] = ()
    warning: str = ""
    notes: tuple[str, ...] = ()
    min_width: int = 0

    @property
    def height(self) -> int:
        """Height of the figure in pixels."""
        return int(self.figure.layout.height) if self.figure is not None else 0


def make_table(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[str | Cell]], texts: int = 1
) -> DataTable:
    """A table whose first `texts` columns are text and whose other columns are numbers."""
    columns = tuple(Column(name, i >= texts) for i, name in enumerate(heads))
    return DataTable(caption, columns, tuple(tuple(row) for row in rows))


def frame_table(
    caption: str, frame: Any, columns: Mapping[str, Callable[[Any], str | Cell]], texts: int = 1
) -> DataTable:
    """A table with a row for each row of a data frame.

    Args:
        frame: pandas DataFrame.
        columns: header -> function from a row (dict by column name) to the cell.
        texts: how many of the first columns are text.
    """
    rows = [[cell(row) for cell in columns.values()] for row in frame.to_dict("records")]
    return make_table(caption, list(columns), rows, texts)
