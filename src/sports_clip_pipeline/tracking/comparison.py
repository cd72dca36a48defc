"""A run beside the earlier ones of its study: a page, a table and a note on the run itself.

MLflow's pages compare what a reader selects; this says without a click what differed in the
settings, and what it did to zero-shot, retrieval and accuracy by number of labels.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from sports_clip_pipeline.tracking.seen import SHARES, SeenRun, differing, this_and_earlier

if TYPE_CHECKING:
    from mlflow import MlflowClient

FOLDER = "comparison"
NOTE = "mlflow.note.content"
_LONGEST, _ROWS = 80, 40
_STYLE = """<style>
body { font: 14px/1.45 system-ui, sans-serif; color: #1d2024 }
h2 { font-size: 1rem; margin: 1.2rem 0 .3rem }
table { border-collapse: collapse; font-size: 13px }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #e4e5e1;
  vertical-align: top; overflow-wrap: anywhere }
th, td:first-child { white-space: nowrap }
th:nth-child(2), td:nth-child(2) { background: #f2f3ef }
</style>"""


def record_comparison(
    client: MlflowClient, experiment_id: str, run_id: str, study: str
) -> list[SeenRun]:
    """Log the comparison on a run; nothing where it has no results. Returns the runs compared."""
    from sports_clip_pipeline.report.figure_page import compose_figure_page
    from sports_clip_pipeline.tracking.comparison_figure import draw

    runs = this_and_earlier(client, experiment_id, run_id, study)
    if not runs[0].has_results:
        return []
    page = compose_figure_page(draw(runs), f"{study}: runs compared", tables(runs))
    client.log_text(run_id, page, f"{FOLDER}/comparison.html")
    client.log_text(run_id, as_csv(runs), f"{FOLDER}/comparison.csv")
    client.set_tag(run_id, NOTE, note(runs))
    return runs


def rows(runs: Sequence[SeenRun]) -> list[tuple[str, list[str]]]:
    """What each run reached, a row a result: percent, a dash where it has none."""
    found = [
        (name, [_percent(run.shares.get(metric)) for run in runs])
        for metric, name in SHARES.items()
        if any(metric in run.shares for run in runs)
    ]
    labels = sorted({count for run in runs for count in run.curve})
    curve = [
        (f"top-1 with {count:,} labels", [_percent(run.curve.get(count)) for run in runs])
        for count in labels
    ]
    return found + curve


def tables(runs: Sequence[SeenRun]) -> str:
    """HTML: what differed, and what came of it; this run's column first."""
    names = ["this run", *(run.label for run in runs[1:])]
    changed = [
        (name, [_short(value) for value in values]) for name, values in _with_data(runs).items()
    ]
    more = f"<p>… and {len(changed) - _ROWS} more</p>" if len(changed) > _ROWS else ""
    if len(runs) == 1:
        differed = "<p>This is the first finished run of its study with results.</p>"
    elif not changed:
        differed = "<p>No parameter differs.</p>"
    else:
        differed = _table("parameter", names, changed[:_ROWS]) + more
    results = _table("result on evaluation and test data", names, rows(runs))
    return f"{_STYLE}<h2>What differed</h2>{differed}<h2>What came of it</h2>{results}"


def as_csv(runs: Sequence[SeenRun]) -> str:
    """The two tables as one, a row a run."""
    sink = io.StringIO()
    results, changed = rows(runs), _with_data(runs)
    table = csv.writer(sink, lineterminator="\n")
    table.writerow(["run", "name", *(name for name, _ in results), *changed])
    for place, run in enumerate(runs):
        reached = [values[place] for _, values in results]
        table.writerow(
            [run.run_id, run.name, *reached, *(values[place] or "" for values in changed.values())]
        )
    return sink.getvalue()


def note(runs: Sequence[SeenRun]) -> str:
    """Markdown for the run's own page: this run and the one before it."""
    pair = list(runs[:2])
    changed = [
        f"| `{name}` | {_cell(values[0])} | {_cell(values[1])} |"
        for name, values in (_with_data(pair) if len(pair) == 2 else {}).items()
    ][:_ROWS]
    head = ["this run", *(f"`{run.label}`" for run in pair[1:])]
    lines = ["| |" + "|".join(head) + "|", "|---" * (len(head) + 1) + "|"]
    lines += changed
    lines += [f"| {name} | {' | '.join(values)} |" for name, values in rows(pair)]
    said = "Beside the run before it; " if len(pair) == 2 else ""
    return "\n".join(
        [f"{said}`{FOLDER}/comparison.html` among the artifacts shows all.", "", *lines]
    )


def _with_data(runs: Sequence[SeenRun]) -> dict[str, list[str | None]]:
    """What differs, the data itself first: numbers on other data are no comparison."""
    digests: list[str | None] = [run.data[:12] or None for run in runs]
    other = {"data_digest": digests} if len({run.data for run in runs if run.data}) > 1 else {}
    return {**other, **differing(runs)}


def _table(corner: str, names: Sequence[str], lines: Sequence[tuple[str, list[str]]]) -> str:
    head = _cells("th", (corner, *names))
    body = "".join(f"<tr>{_cells('td', (name, *values))}</tr>" for name, values in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(kind: str, texts: Sequence[str]) -> str:
    return "".join(f"<{kind}>{escape(text)}</{kind}>" for text in texts)


def _cell(value: str | None) -> str:
    return _short(value).replace("|", "\\|")


def _short(value: str | None) -> str:
    if value is None:
        return "–"
    return value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
