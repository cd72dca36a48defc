from __future__ import annotations

import pandas as pd

from sports_clip_pipeline.report.figures.training import retrieval_bars, training_curve


def test_loss_stands_above_and_both_recalls_below():
    history = pd.DataFrame(
        {
            "epoch": [1, 2],
            "loss": [3.0, 2.0],
            "validation_t2i_r5": [0.1, 0.2],
            "validation_i2t_r5": [0.3, 0.4],
        }
    )

    loss, t2i, i2t = training_curve(history).data

    assert (list(loss.x), list(loss.y), loss.yaxis) == ([1, 2], [3.0, 2.0], "y")
    assert (list(t2i.y), t2i.yaxis) == ([0.1, 0.2], "y2")
    assert (list(i2t.y), i2t.yaxis) == ([0.3, 0.4], "y2")


def test_recalls_are_grouped_by_rank():
    shares = {"r1": 0.1, "r5": 0.25, "r10": 0.5}

    t2i, i2t = retrieval_bars({"t2i": shares, "i2t": {**shares, "r10": 0.75}}).data

    assert list(t2i.x) == ["Recall@1", "Recall@5", "Recall@10"]
    assert list(t2i.y) == [0.1, 0.25, 0.5]
    assert list(i2t.y) == [0.1, 0.25, 0.75]
    assert i2t.text[2] == "75.0\u00a0%"
