"""JSON documents, figures and pages, saved whole or not at all."""

from __future__ import annotations

from kedro_datasets.json import JSONDataset as JsonDataset
from kedro_datasets.plotly import JSONDataset as PlotlyDataset
from kedro_datasets.text import TextDataset

from sports_clip_pipeline.datasets.atomic import AtomicSave


class JsonDocument(AtomicSave, JsonDataset):
    """A JSON document."""


class PlotlyFigure(AtomicSave, PlotlyDataset):
    """A plotly figure as JSON, previewed by Kedro-Viz."""


class TextPage(AtomicSave, TextDataset):
    """A text or HTML page."""
