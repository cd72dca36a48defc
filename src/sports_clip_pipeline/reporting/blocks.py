"""The pieces that a page is made of: tables, figures with their text, cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

INTERVAL = "95 % interval"


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers stand to the right, intervals in lighter text."""

    name: str
    number: bool = True

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
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str | Cell, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"{self.caption}: {len(row)} cells for {len(self.columns)} columns"
                )


@dataclass(frozen=True)
class Plot:
    """A figure with its words.

    Attributes:
        name: of the dataset; also the id on the page.
        title, summary: heading, and what there is to see, in one or two sentences.
        figure: the figure; its layout has a height.
        tables: the same in numbers.
        min_width: pixels below which the figure scrolls in its own box instead of shrinking.
    """

    name: str
    title: str
    summary: str
    figure: go.Figure
    tables: tuple[DataTable, ...]
    min_width: int = 0

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
