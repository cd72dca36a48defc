"""The ledger of looks at the evaluation part: what is saved is added to what stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sports_clip_pipeline.datasets.documents import JsonDocument


class LedgerFile(JsonDocument):
    """A JSON list of looks. Saving one look adds it, with the time and the commit.

    Example:
        >>> LedgerFile(filepath="ledger.json").save({"arms": 105, "methods": ["gda"], …})
    """

    def save(self, data: dict[str, Any]) -> None:
        """Add a look: the fields of `evaluation.ledger.Look` but for its time and commit."""
        from sports_clip_pipeline.evaluation.ledger import Look, record_look
        from sports_clip_pipeline.revision import git_state

        time_utc = datetime.now(UTC).isoformat(timespec="seconds")
        commit = str(git_state().get("commit"))
        looks = self.load() if self.exists() else []
        fields = {**data, "methods": tuple(data["methods"])}
        super().save(record_look(looks, Look(time_utc=time_utc, commit=commit, **fields)))
