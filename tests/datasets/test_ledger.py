from __future__ import annotations

from pathlib import Path

from sports_clip_pipeline.io import EvaluationLogFile

LOOK = {
    "arms": 3,
    "methods": ["gda"],
    "parameters_sha256": "a",
    "data_digest": "b",
    "chosen": "gda",
    "chosen_top1": 0.5,
}


def test_looks_are_added_and_a_repeated_one_is_counted(tmp_path: Path) -> None:
    ledger = EvaluationLogFile(filepath=str(tmp_path / "evaluation_log.json"))
    ledger.save(LOOK)
    ledger.save(LOOK)
    ledger.save({**LOOK, "chosen_top1": 0.6})
    first, second = ledger.load()
    assert (first["repeats"], second["repeats"]) == (1, 0)
    assert first["time_utc"].endswith("+00:00")
    assert second["chosen_top1"] == 0.6
