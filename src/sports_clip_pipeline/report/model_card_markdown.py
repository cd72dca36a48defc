"""The model card as Markdown, to stand beside the model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sports_clip_pipeline.report.blocks import Cell, DataTable
from sports_clip_pipeline.report.labels import SPACE
from sports_clip_pipeline.report.model_card import Chapter, ModelCard

_SPECIAL = re.compile(r"([\\`*_\[\]<>|])")


def card_markdown(card: ModelCard) -> str:
    """The card in the Markdown that GitHub and model hubs show."""
    lines = [f"# {markdown_text(card.title)}", ""]
    for chapter in card.chapters:
        lines += [f"## {markdown_text(chapter.title)}", "", *_chapter(chapter)]
    return "\n".join(lines).rstrip() + "\n"


def markdown_text(text: str) -> str:
    r"""Text on one line that Markdown shows as it is.

    >>> markdown_text("a_b <i> |")
    'a\\_b \\<i\\> \\|'
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.replace(SPACE, " ").split()))


def _chapter(chapter: Chapter) -> Iterator[str]:
    for paragraph in chapter.paragraphs:
        yield from (markdown_text(paragraph), "")
    for table in chapter.tables:
        yield from (*_table(table), "")
    if chapter.points:
        yield from (f"- {markdown_text(point)}" for point in chapter.points)
        yield ""


def _table(table: DataTable) -> Iterator[str]:
    yield _row(column.name for column in table.columns)
    yield _row("---:" if column.number else "---" for column in table.columns)
    for row in table.rows:
        yield _row(_cell(cell) for cell in row)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: str | Cell) -> str:
    text = (
        cell if isinstance(cell, str) else f"{cell.text} ({cell.note})" if cell.note else cell.text
    )
    return markdown_text(text)
