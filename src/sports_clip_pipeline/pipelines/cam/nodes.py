"""Nodes of the `cam` pipeline: choose photographs, explain what was said of them."""

from __future__ import annotations

from typing import Any

from sports_clip_pipeline.annotations import Table
from sports_clip_pipeline.config.cam import PREDICTED, TRUE, CamConfig
from sports_clip_pipeline.config.classes import ClassBank
from sports_clip_pipeline.journal import Journal


def choose_photographs(evaluation_predictions: Table, cam: CamConfig) -> Table:
    """Confident right and wrong predictions of the fine-tuned classifier, over the classes."""
    from sports_clip_pipeline.explain.choice import choose

    said = evaluation_predictions.rename(
        columns={"finetuned_label": "predicted", "finetuned_probability": "probability"}
    )
    return choose(said, cam.right, cam.wrong, cam.confident_share, cam.seed)


def explain_photographs(
    sports_images: Any,
    sports_manifest: Table,
    cam_choice: Table,
    predictor: Any,
    clip_model: Any,
    class_bank: ClassBank,
    cam_journal: Journal,
    cam: CamConfig,
) -> list[Any]:
    """Cards: class activation maps for classes and for prompts, and guided gradients."""
    from sports_clip_pipeline.explain.explainer import Prediction

    by_class = _class_explainer(predictor, cam)
    by_text = _text_explainer(clip_model, cam_choice, class_bank, cam)
    rows = {image: row for row, image in enumerate(sports_manifest["image"])}
    cards = []
    chosen = cam_choice[["image", "label", "predicted", "probability"]].itertuples(index=False)
    for choice in cam_journal.progress(chosen, "cam", len(cam_choice), "photo"):
        said = Prediction(*choice)
        photo = sports_images.get(rows[said.image])
        for name in _wishes(cam.classes, said.label, said.predicted):
            cards.append(by_class.gradcam(photo, said, name))
        if cam.guided:
            cards.append(by_class.guided(photo, said, said.predicted))
        for prompt in _prompts(cam, class_bank, said.label, said.predicted):
            cards.append(by_text.gradcam(photo, said, prompt))
    return cards


def _class_explainer(predictor: Any, cam: CamConfig) -> Any:
    from sports_clip_pipeline.explain.explainer import Explainer
    from sports_clip_pipeline.explain.layers import find_layer

    module = predictor.module()
    return Explainer(
        module=module,
        layer=find_layer(module.tower, cam.layer),
        preprocessing=predictor.preprocessing,
        kind="class",
        names=tuple(predictor.classes),
        picture_px=cam.picture_px,
        picture_quality=cam.picture_quality,
    )


def _text_explainer(clip_model: Any, choice: Table, bank: ClassBank, cam: CamConfig) -> Any:
    """Every prompt that any of the photographs needs, encoded once."""
    from sports_clip_pipeline.explain.explainer import Explainer
    from sports_clip_pipeline.explain.layers import find_layer
    from sports_clip_pipeline.explain.text_target import (
        TextTarget,
        clip_preprocessing,
        encode_prompts,
    )

    pairs = zip(choice["label"], choice["predicted"], strict=True)
    prompts = tuple(dict.fromkeys(text for pair in pairs for text in _prompts(cam, bank, *pair)))
    if not prompts:
        return None
    module = TextTarget(
        clip_model.model, encode_prompts(clip_model.model, clip_model.tokenizer, prompts)
    )
    return Explainer(
        module=module,
        layer=find_layer(module.tower, cam.layer),
        preprocessing=clip_preprocessing(clip_model.model),
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
