"""The pieces that a page is made of: tables, figures with their text, cards."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

INTERVAL = "95 % interval"


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers stand to the right, intervals in lighter text.

    Attributes:
        name: its head. number: whether it holds numbers.
        group: a second head above it, shared with neighbours of the same group.
    """

    name: str
    number: bool = True
    group: str = ""

    @property
    def quiet(self) -> bool:
        """Whether its cells are secondary."""
        return self.name == INTERVAL


@dataclass(frozen=True)
class Cell:
    """A cell with a remark in lighter text below its text."""

    text: str
    note: str


@dataclass(frozen=True)
class DataTable:
    """A table of ready-made texts; the first cell of each row names the row.

    Attributes:
        caption: what the table shows.
        columns: as many as every row has cells.
        sortable: whether readers may sort it by a column.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    sortable: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"{self.caption}: {len(row)} cells for {len(self.columns)} columns"
                )

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Heads above the columns with how many they span; nothing where no column has one."""
        names = [column.group for column in self.columns]
        spans = tuple((name, len(list(some))) for name, some in itertools.groupby(names))
        return spans if any(names) else ()

    @property
    def begins(self) -> frozenset[int]:
        """Places of the columns with which a named group begins."""
        names = ["", *(column.group for column in self.columns)]
        pairs = enumerate(itertools.pairwise(names))
        return frozenset(place for place, (before, name) in pairs if name and name != before)


@dataclass(frozen=True)
class Plot:
    """A figure with its words.

    Attributes:
        name: of the dataset; also the id on the page.
        title, summary: heading, and what there is to see, in one or two sentences.
        figure: the figure; its layout has a height.
        tables: the same in numbers.
        min_width: pixels below which the figure scrolls in its own box instead of shrinking.
        open: whether the tables are unfolded at first.
    """

    name: str
    title: str
    summary: str
    figure: go.Figure
    tables: tuple[DataTable, ...]
    min_width: int = 0
    open: bool = False

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.figure.layout.height)


@dataclass(frozen=True)
class Card:
    """A headline number: what it is, the number, its interval, and a remark."""

    label: str
    number: str
    interval: str = ""
    remark: str = ""


def table(
    caption: str, columns: Sequence[str], rows: Sequence[Sequence[str | Cell]], texts: int = 1
) -> DataTable:
    """A table whose first `texts` columns are words and whose other columns are numbers."""
    heads = tuple(Column(name, place >= texts) for place, name in enumerate(columns))
    return DataTable(caption, heads, tuple(tuple(row) for row in rows))
