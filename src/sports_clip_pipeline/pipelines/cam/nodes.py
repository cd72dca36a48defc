"""Nodes of `cam` and `cam_eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sports_clip_pipeline.annotations import Figure, Table
from sports_clip_pipeline.data.classes import ClassBank
from sports_clip_pipeline.explain import GUIDED
from sports_clip_pipeline.io.state import Journal
from sports_clip_pipeline.pipelines.cam.config import (
    METHODS,
    PREDICTED,
    TRUE,
    CamConfig,
    CamEvalConfig,
)

# These draw no difference of two scores: the one looks at no score, the other at the pixels.
NO_CONTRAST = ("eigencam", GUIDED)


def sample_images(test_predictions: Table, cam: CamConfig) -> Table:
    """Confident right and wrong predictions of the fine-tuned classifier, over the classes."""
    from sports_clip_pipeline.explain.sampling import sample_predictions

    said = _said(test_predictions)
    return sample_predictions(said, cam.right, cam.wrong, cam.confident_share, cam.seed)


def sample_confused(test_predictions: Table, confusion_pairs: Table, cam: CamConfig) -> Table:
    """An image of either class for each of the pairs that are confused most."""
    from sports_clip_pipeline.explain.sampling import sample_confused_pairs

    return sample_confused_pairs(_said(test_predictions), confusion_pairs, cam.pairs)


def explain_images(
    sports_images: Any,
    sports_manifest: Table,
    cam_choice: Table,
    cam_pairs: Table,
    predictor: Any,
    clip_model: Path,
    class_bank: ClassBank,
    cam_state: Journal,
    cam: CamConfig,
) -> list[Any]:
    """Cards: maps for classes and for prompts, guided gradients, and contrasts of two classes."""
    from sports_clip_pipeline.explain.explainer import Explainer, Prediction

    pictures = (cam.layer, cam.picture_px, cam.picture_quality)
    by_class = Explainer.of_predictor(predictor, *pictures)
    by_text = _text_explainer(clip_model, cam_choice, class_bank, cam)
    rows = _rows(sports_manifest, [*cam_choice["image"], *cam_pairs["image"]])
    chosen = cam_choice[["image", "label", "predicted", "probability"]].itertuples(index=False)
    cards = []
    for choice in cam_state.progress(chosen, "cam", len(cam_choice), "photo"):
        said = Prediction(*choice)
        photo = sports_images.get(rows[said.image])
        cards += _cards(photo, said, by_class, by_text, class_bank, cam)
    for image, label, predicted, probability, *pair in cam_pairs.itertuples(index=False):
        said = Prediction(image, label, predicted, probability)
        cards += _contrasts(sports_images.get(rows[image]), said, by_class, pair, cam)
    return cards


def _said(test_predictions: Table) -> Table:
    """The fine-tuned classifier's answers."""
    names = {"finetuned_label": "predicted", "finetuned_probability": "probability"}
    return test_predictions.rename(columns=names)


def _rows(manifest: Table, chosen: list[str]) -> dict[str, int]:
    """Place of each image in the store; all the chosen ones must be there."""
    from sports_clip_pipeline.explain.sampling import check_in_store

    rows = {image: row for row, image in enumerate(manifest["image"])}
    check_in_store(chosen, rows, "cam")
    return rows


def _cards(
    photo: Any, said: Any, by_class: Any, by_text: Any, bank: ClassBank, cam: CamConfig
) -> list[Any]:
    """All cards of one image."""
    wished = _wishes(cam.classes, said.label, said.predicted)
    cards = [by_class.explain(photo, said, n, method) for n in wished for method in cam.methods]
    if cam.guided and not (GUIDED in cam.methods and said.predicted in wished):
        cards.append(by_class.guided(photo, said, said.predicted))
    prompts = _prompts(cam, bank, said.label, said.predicted)
    return cards + [
        by_text.explain(photo, said, prompt, method) for prompt in prompts for method in cam.methods
    ]


def _contrasts(photo: Any, said: Any, by_class: Any, pair: list[str], cam: CamConfig) -> list[Any]:
    """What speaks for either class of a pair against the other, the answer's own class first."""
    first, second = sorted(pair, key=lambda name: name != said.predicted)
    method = next((name for name in cam.methods if name not in NO_CONTRAST), "gradcam")
    return [
        by_class.contrast(photo, said, names, method)
        for names in ((first, second), (second, first))
    ]


def _text_explainer(clip_model: Path, choice: Table, bank: ClassBank, cam: CamConfig) -> Any:
    """Every prompt that any of the images needs, encoded once."""
    import torch

    from sports_clip_pipeline.clip.folder import load_clip
    from sports_clip_pipeline.explain.explainer import Explainer
    from sports_clip_pipeline.explain.networks import TextTarget
    from sports_clip_pipeline.explain.targets import find_layer

    pairs = zip(choice["label"], choice["predicted"], strict=True)
    prompts = tuple(dict.fromkeys(text for pair in pairs for text in _prompts(cam, bank, *pair)))
    if not prompts:
        return None
    clip = load_clip(clip_model)
    module = TextTarget(clip.model, torch.from_numpy(clip.embed_texts(prompts)))
    return Explainer(
        module=module,
        layer=find_layer(module.tower, cam.layer),
        preprocessing=clip.preprocessing,
        kind="prompt",
        names=prompts,
        picture_px=cam.picture_px,
        picture_quality=cam.picture_quality,
    )


def _prompts(cam: CamConfig, bank: ClassBank, label: str, predicted: str) -> tuple[str, ...]:
    return _wishes(cam.prompts, bank.prompts(label)[0], bank.prompts(predicted)[0])


def _wishes(wanted: tuple[str, ...], true: str, predicted: str) -> tuple[str, ...]:
    """What is wanted with the placeholders filled in, each once, in order."""
    filled = {TRUE: true, PREDICTED: predicted}
    return tuple(dict.fromkeys(filled.get(wish, wish) for wish in wanted))


def measure_maps(
    test_predictions: Table,
    sports_images: Any,
    sports_manifest: Table,
    predictor: Any,
    clip_model: Path,
    class_bank: ClassBank,
    cam_eval_state: Journal,
    cam_eval: CamEvalConfig,
) -> Table:
    """Every method's maps on a draw of evaluation images; baselines and shuffled weights too."""
    from sports_clip_pipeline.explain.measurement import FITTED_ON, Work, measure_images, plan_items
    from sports_clip_pipeline.explain.sampling import sample_for_measurement

    said = test_predictions.rename(columns={"finetuned_label": "predicted"})
    draw = sample_for_measurement(said, cam_eval.images, cam_eval.wrong_share, cam_eval.seed)
    items = plan_items(draw, sports_manifest, cam_eval)
    plan = _networks(predictor, clip_model, class_bank, cam_eval)
    judged = sports_manifest["image"].isin(said["image"]).to_numpy()
    fitted_on = tuple(judged.nonzero()[0].tolist()[:FITTED_ON])
    work = Work(sports_images, plan.build, plan.identity(), fitted_on, cam_eval)
    return measure_images(items, work, cam_eval_state)


def summarise_maps(
    cam_eval_scores: Table, cam_eval_state: Journal, cam_eval: CamEvalConfig
) -> Table:
    """Means, intervals and differences to the better baseline; the same as metrics of the run."""
    from sports_clip_pipeline.explain.verdicts import headline_numbers, summarise_explanations

    summary = summarise_explanations(cam_eval_scores, cam_eval.resamples, cam_eval.seed)
    cam_eval_state.log_metrics(headline_numbers(summary))
    return summary


def verdict_of_methods(
    cam_eval_summary: Table, test_predictions: Table, cam_eval: CamEvalConfig
) -> Table:
    """For each method: whether it beats the baselines and passes the randomisation check."""
    from sports_clip_pipeline.explain.verdicts import explanation_verdicts, predictions_fingerprint

    limit = cam_eval.correlation_limit
    judged = explanation_verdicts(cam_eval_summary, limit, lambda name: METHODS.get(name, name))
    return judged.assign(answers=predictions_fingerprint(test_predictions))


def draw_maps_figure(cam_eval_summary: Table) -> Figure:
    """Differences to the better baseline, a panel a measure."""
    from sports_clip_pipeline.report.image_sections import map_quality_figure

    return map_quality_figure(cam_eval_summary)


def _networks(
    predictor: Any, clip_model: Path, class_bank: ClassBank, cam_eval: CamEvalConfig
) -> Any:
    """The plan of the networks; the first prompt of each class is encoded once."""
    from sports_clip_pipeline.clip.folder import load_clip
    from sports_clip_pipeline.explain.networks import PROMPTS, NetworkPlan

    prompts: tuple[str, ...] = ()
    embedded = None
    if PROMPTS in cam_eval.targets:
        prompts = tuple(class_bank.prompts(label)[0] for label in predictor.classes)
        embedded = load_clip(clip_model).embed_texts(prompts)
    return NetworkPlan(
        cam_eval.targets,
        predictor,
        clip_model,
        prompts,
        embedded,
        cam_eval.layer,
        cam_eval.batch,
    )
