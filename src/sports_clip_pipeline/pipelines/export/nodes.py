"""The node of `export`: the shipped classifier for places without torch."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from sports_clip_pipeline.journal import Journal

_LOG = logging.getLogger(__name__)


def export_network(predictor: Any, journal: Journal) -> Path:
    """The exported predictor as a folder of the journal's workspace.

    Raises: UserFacingError: it cannot be exported, or says something else than eager torch.
    """
    import json

    from sports_clip_pipeline.predictor.export import kept_export
    from sports_clip_pipeline.predictor.onnx_predictor import RECORD

    folder = kept_export(predictor, journal)
    difference = json.loads((folder / RECORD).read_text(encoding="utf-8"))["parity"]
    journal.log_metrics({"export/parity": difference})
    _LOG.info("probabilities differ from eager torch's by at most %.1e", difference)
    return folder
