from __future__ import annotations

from pathlib import Path

from sports_clip_pipeline.io import EvaluationLogFile

EVALUATION = {
    "trials": 3,
    "methods": ["gda"],
    "parameters_sha256": "a",
    "data_digest": "b",
    "chosen": "gda",
    "chosen_top1": 0.5,
}


def test_evaluations_are_added_and_a_repeated_one_is_counted(tmp_path: Path) -> None:
    log = EvaluationLogFile(filepath=str(tmp_path / "evaluation_log.json"))
    log.save(EVALUATION)
    log.save(EVALUATION)
    log.save({**EVALUATION, "chosen_top1": 0.6})
    first, second = log.load()
    assert (first["repeats"], second["repeats"]) == (1, 0)
    assert first["time_utc"].endswith("+00:00")
    assert second["chosen_top1"] == 0.6
