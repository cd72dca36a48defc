"""The figures of the page, with the words and tables that stand beside them."""

from __future__ import annotations

from sports_clip_pipeline.report import tables
from sports_clip_pipeline.report.blocks import Plot
from sports_clip_pipeline.report.judged_plots import compose_judged_plots
from sports_clip_pipeline.report.labels import class_name, count, percent
from sports_clip_pipeline.report.results import StudyResults, caption_mentions, data_parts


def compose_plots(results: StudyResults) -> tuple[Plot, ...]:
    """Every figure, named as its dataset; those that judge the study where there is something.

    Raises: KeyError: `results.figures` lacks one of the others.
    """
    return (
        _learning(results),
        _per_class(results),
        *_confusions(results),
        _training(results),
        _retrieval(results),
        _audit(results),
        _mentions(results),
        *compose_judged_plots(results),
    )


def _learning(results: StudyResults) -> Plot:
    return Plot(
        name="learning_curve_figure",
        title="Accuracy by share of labels",
        summary=(
            f"Top-1 accuracy on {count(results.evaluation_photographs)} evaluation photographs. "
            "Lines are means over seeds, bands 95 % intervals that include a bootstrap over "
            f"photographs.{_shown_first(results)}"
        ),
        figure=results.figures["learning_curve_figure"],
        tables=tables.learning_tables(results),
    )


def _shown_first(results: StudyResults) -> str:
    """Which methods are drawn, where some wait in the legend."""
    cast = results.cast
    if set(cast.methods) <= set(cast.first):
        return ""
    words = " Shown are the methods that validation inside the labels prefers, and the baselines"
    dashed = "; dashed ones learn from unlabelled photographs too" if cast.unlabelled else ""
    return f"{words}{dashed}. The legend holds the others."


def _per_class(results: StudyResults) -> Plot:
    before = results.zero_shot_metrics["per_class"]
    after = results.finetune_metrics["per_class"]
    worst = min(after, key=lambda label: float(after[label]["f1"]))
    best = max(after, key=lambda label: float(after[label]["f1"]))
    return Plot(
        name="per_class_figure",
        title="What labels change, class by class",
        summary=(
            f"F1 of each class. After fine-tuning {class_name(best)} is easiest "
            f"({percent(after[best]['f1'])}) and {class_name(worst)} hardest "
            f"({percent(after[worst]['f1'])})."
        ),
        figure=results.figures["per_class_figure"],
        tables=(tables.per_class_table(before, after),),
        open=True,
    )


def _confusions(results: StudyResults) -> list[Plot]:
    plots = []
    for name, title, scores in (
        ("confusion_figure", "Confusion, fine-tuned", results.finetune_metrics),
        ("zero_shot_confusion_figure", "Confusion, zero-shot", results.zero_shot_metrics),
    ):
        plots.append(
            Plot(
                name=name,
                title=title,
                summary=(
                    "A row for each true class, a column for each answer; the more a square "
                    "stands out, the larger its share of the row. The diagonal is right: "
                    f"{percent(scores['top1'])} of all."
                ),
                figure=results.figures[name],
                tables=(tables.confusion_table(scores["classes"], scores["confusion"]),),
                min_width=120 + 15 * len(scores["classes"]),
            )
        )
    return plots


def _training(results: StudyResults) -> Plot:
    history = results.pretrain_history
    return Plot(
        name="training_curve_figure",
        title="Contrastive pretraining",
        summary=f"{count(len(history))} epochs on the captioned photographs.",
        figure=results.figures["training_curve_figure"],
        tables=(tables.training_table(history),),
    )


def _retrieval(results: StudyResults) -> Plot:
    found = results.retrieval_metrics
    return Plot(
        name="retrieval_figure",
        title="Retrieval",
        summary=(
            f"{count(found['captions'])} captions against {count(found['images'])} "
            "captioned test photographs; each photograph owns all its captions."
        ),
        figure=results.figures["retrieval_figure"],
        tables=(tables.retrieval_table(found),),
    )


def _audit(results: StudyResults) -> Plot:
    parts = data_parts(results.ingest_audit)
    return Plot(
        name="data_audit_figure",
        title="Photographs in each part",
        summary=(
            "Hyper-parameters see development photographs alone; the unlabelled test only ever "
            "gets predictions."
        ),
        figure=results.figures["data_audit_figure"],
        tables=(tables.numbers_table("Photographs", ("Part", "Photographs"), parts),),
    )


def _mentions(results: StudyResults) -> Plot:
    mentions = caption_mentions(results.tokenize_audit)
    never = [class_name(label) for label, captions in mentions.items() if captions == 0]
    return Plot(
        name="caption_mentions_figure",
        title="How often captions name each class",
        summary=(
            f"Of {count(results.tokenize_audit['captions'])} captions. "
            f"Never named: {', '.join(never) if never else 'none'}."
        ),
        figure=results.figures["caption_mentions_figure"],
        tables=(tables.mentions_table(results.tokenize_audit),),
    )
