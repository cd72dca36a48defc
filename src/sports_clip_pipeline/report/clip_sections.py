"""Sections on CLIP: contrastive pretraining, retrieval, zero-shot ablation and transduction."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sports_clip_pipeline.report import figures as fig
from sports_clip_pipeline.report import formatting as fmt
from sports_clip_pipeline.report.sections import DataTable, Section, StudyResults, frame_table

DIRECTIONS = {"t2i": "Caption finds image", "i2t": "Image finds caption"}
RANKS = ("r1", "r5", "r10")


def training_curve(study: StudyResults) -> Section:
    """Contrastive loss and validation recall by epoch; a sentence where nothing was trained."""
    if not study.epochs:
        return Section("training_curve", f"{study.clip_encoders} is used as published, untrained.")
    history = study.pretrain_history
    columns = {
        "Epoch": lambda row: fmt.count(row["epoch"]),
        "Loss": lambda row: fmt.decimal(row["loss"], 3),
        "Learning rate": lambda row: f"{row['lr']:.2e}",
        "Logit scale": lambda row: f"{row['logit_scale']:.2f}",
        "Text to image R@5": lambda row: fmt.percent(row["validation_t2i_r5"]),
        "Image to text R@5": lambda row: fmt.percent(row["validation_i2t_r5"]),
    }
    return Section(
        "training_curve",
        f"{fmt.count(study.epochs)} epochs on the captioned images.",
        training_curve_figure(history),
        folded=(frame_table("Pretraining by epoch", history, columns),),
    )


def training_curve_figure(history: pd.DataFrame) -> go.Figure:
    """Loss above, validation recall@5 in both directions below, over epochs.

    Args:
        history: a row an epoch: `epoch`, `loss`, `validation_t2i_r5`, `validation_i2t_r5`.
    """
    titles = ("Contrastive loss", "Recall@5 on validation images")
    figure = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.14, subplot_titles=titles)
    recalls = [(f"validation_{key}_r5", name, "%{y:.1%}") for key, name in DIRECTIONS.items()]
    for i, (column, name, number) in enumerate([("loss", "Loss", "%{y:.3f}"), *recalls]):
        trace = go.Scatter(
            x=history["epoch"].tolist(),
            y=history[column].tolist(),
            name=name,
            legendgroup=name,
            mode="lines+markers" if len(history) <= 60 else "lines",
            connectgaps=True,  # recall is not measured after every epoch
            line={"color": fig.series_tone(i), "width": 2},
            marker={"size": 5, "symbol": fig.MARKERS[i]},
            hovertemplate=f"epoch %{{x}}<br>{number}<extra>%{{fullData.name}}</extra>",
        )
        figure.add_trace(trace, row=1 if i == 0 else 2, col=1)
    figure.update_layout(fig.layout(460, margin={"l": 8, "r": 12, "t": 34, "b": 8}))
    figure.update_annotations(
        font={"size": 12, "color": fig.MUTED[0]}, x=0, xanchor="left", yshift=6
    )
    figure.update_xaxes(fig.axis())
    figure.update_xaxes(title=fig.axis("Epoch")["title"], row=2, col=1)
    figure.update_yaxes(fig.axis(rangemode="tozero"), row=1, col=1)
    return figure.update_yaxes(fig.share_axis(), row=2, col=1)


def retrieval(study: StudyResults) -> Section:
    """Retrieval recall at 1, 5 and 10 in both directions."""
    metrics = study.retrieval_metrics
    rows = [
        (name, *(fmt.percent(metrics[key][rank]) for rank in RANKS))
        for key, name in DIRECTIONS.items()
    ]
    return Section(
        "retrieval",
        f"{fmt.count(metrics['captions'])} captions against {fmt.count(metrics['images'])} "
        "captioned test images; all captions of an image count as its own.",
        retrieval_figure(metrics),
        folded=(DataTable("Recall on the test split", ("Direction", "R@1", "R@5", "R@10"), rows),),
    )


def retrieval_figure(metrics: Mapping[str, Any]) -> go.Figure:
    """Grouped bars of recall with their values; `metrics` is `{t2i: {r1, r5, r10}, i2t: …}`."""
    figure = go.Figure()
    for i, (key, name) in enumerate(DIRECTIONS.items(), start=1):
        shares = [float(metrics[key][rank]) for rank in RANKS]
        figure.add_bar(
            x=[f"Recall@{rank[1:]}" for rank in RANKS],
            y=shares,
            text=[fmt.percent(share) for share in shares],
            textposition="outside",
            textangle=0,
            textfont={"color": fig.INK[0], "size": 11},
            cliponaxis=False,
            marker={"color": fig.series_tone(i)},
            hovertemplate="%{x}<br>%{text}<extra>%{fullData.name}</extra>",
            legendgroup=name,
            name=name,
        )
    axes = {"xaxis": fig.axis(), "yaxis": fig.share_axis()}
    return figure.update_layout(fig.layout(340, **axes, bargap=0.35, bargroupgap=0.08))


def ablation(study: StudyResults) -> Section:
    """Ablation of zero-shot classification: top-1 of each variant, with its interval."""
    rows = study.ablation
    names = list(map(_capitalised, rows["name"]))
    shares, lows, highs = (rows[name].tolist() for name in ("top1", "low", "high"))
    columns = {
        "Variant": lambda row: (_capitalised(row["name"]), row["changed"]),
        "Chosen on": lambda row: row["chosen_on"],
        "Top-1": lambda row: fmt.percent(row["top1"]),
        fmt.INTERVAL: lambda row: fmt.interval(row["low"], row["high"]),
    }
    return Section(
        "ablation",
        "Top-1 on the test images; error bars are 95 % intervals. "
        f"Settings are chosen on: {', '.join(dict.fromkeys(rows['chosen_on']))}.",
        fig.interval_plot(names, [fig.Series("Zero-shot top-1", shares, lows, highs)]),
        folded=(frame_table("Variants of zero-shot", rows, columns, texts=2),),
    )


def _capitalised(name: str) -> str:
    return name[:1].upper() + name[1:]


def transduction(study: StudyResults) -> Section:
    """Transductive zero-shot: methods that use unlabelled images."""
    columns = {
        "Method": lambda row: study.name(row["method"]),
        "Unlabelled images": lambda row: row["split"],
        "Prior assumed": lambda row: row["prior"],
        "Top-1": lambda row: fmt.percent(row["top1"]),
        fmt.INTERVAL: lambda row: fmt.interval(row["low"], row["high"]),
    }
    table = frame_table("Zero-shot with unlabelled images", study.transduction, columns, texts=3)
    return Section("transduction", tables=(table,))
