import pandas as pd
import pytest

from sports_clip_pipeline.report.clip_sections import (
    ablation,
    retrieval_figure,
    training_curve_figure,
)
from tests.report.factories import make_small_study


def test_loss_is_above_and_both_recalls_are_below():
    recalls = {"validation_t2i_r5": [0.1, 0.2], "validation_i2t_r5": [0.3, 0.4]}
    history = pd.DataFrame({"epoch": [1, 2], "loss": [3.0, 2.0], **recalls})
    loss, t2i, i2t = training_curve_figure(history).data
    assert (list(loss.x), list(loss.y), loss.yaxis) == ([1, 2], [3.0, 2.0], "y")
    assert (list(t2i.y), t2i.yaxis) == ([0.1, 0.2], "y2")
    assert (list(i2t.y), i2t.yaxis) == ([0.3, 0.4], "y2")


def test_recalls_are_grouped_by_rank():
    shares = {"r1": 0.1, "r5": 0.25, "r10": 0.5}
    t2i, i2t = retrieval_figure({"t2i": shares, "i2t": {**shares, "r10": 0.75}}).data
    assert list(t2i.x) == ["Recall@1", "Recall@5", "Recall@10"]
    assert list(t2i.y) == [0.1, 0.25, 0.5]
    assert i2t.text[2] == "75.0\u00a0%"


def test_variants_keep_their_order_and_show_number_and_interval():
    rows = pd.DataFrame(
        {"name": ["one", "two"], "top1": [0.5, 0.4], "low": [0.48, 0.37], "high": [0.52, 0.43]}
    )
    study = make_small_study(ablation=rows.assign(changed="", chosen_on="nothing"))
    figure = ablation(study).figure
    (points,) = figure.data
    assert list(points.x) == [0.5, 0.4] and points.y[0] < points.y[1]
    assert list(points.error_x.arrayminus) == pytest.approx([0.02, 0.03])
    assert [note.text for note in figure.layout.annotations] == [
        "One", "Two", "50.0\u00a0%", "40.0\u00a0%"
    ]  # fmt: skip
