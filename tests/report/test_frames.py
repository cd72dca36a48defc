from __future__ import annotations

import pandas as pd

from sports_clip_pipeline.report.frames import records, tallies

FRAME = pd.DataFrame({"a": ["x", "y", "x"], "n": [1, 2, 3]})


def test_rows_are_dictionaries():
    assert records(FRAME)[1] == {"a": "y", "n": 2}


def test_combinations_are_counted_most_frequent_first():
    assert tallies(FRAME, ["a"]) == [(("x",), 2), (("y",), 1)]
    assert tallies(FRAME[:0], ["a", "n"]) == []
