"""Nodes of the `cam` pipeline: choose photographs, explain what was said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sports_clip_pipeline.annotations import Table
from sports_clip_pipeline.data.classes import ClassBank
from sports_clip_pipeline.explain.names import GUIDED
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.pipelines.cam.config import PREDICTED, TRUE, CamConfig

# These draw no difference of two scores: the one looks at no score, the other at the pixels.
NO_CONTRAST = ("eigencam", GUIDED)


def choose_photographs(test_predictions: Table, cam: CamConfig) -> Table:
    """Confident right and wrong predictions of the fine-tuned classifier, over the classes."""
    from sports_clip_pipeline.explain.choice import choose

    said = _said(test_predictions)
    return choose(said, cam.right, cam.wrong, cam.confident_share, cam.seed)


def choose_confused(test_predictions: Table, confusion_pairs: Table, cam: CamConfig) -> Table:
    """A photograph of either class for each of the pairs that are confused most."""
    from sports_clip_pipeline.explain.choice import choose_pairs

    return choose_pairs(_said(test_predictions), confusion_pairs, cam.pairs)


def explain_photographs(
    sports_images: Any,
    sports_manifest: Table,
    cam_choice: Table,
    cam_pairs: Table,
    predictor: Any,
    clip_model: Path,
    class_bank: ClassBank,
    cam_journal: Journal,
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
    for choice in cam_journal.progress(chosen, "cam", len(cam_choice), "photo"):
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
    from sports_clip_pipeline.explain.choice import refuse_lost

    rows = {image: row for row, image in enumerate(manifest["image"])}
    refuse_lost(chosen, rows, "cam")
    return rows


def _cards(
    photo: Any, said: Any, by_class: Any, by_text: Any, bank: ClassBank, cam: CamConfig
) -> list[Any]:
    """All cards of one photograph."""
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
    """Every prompt that any of the photographs needs, encoded once."""
    import torch

    from sports_clip_pipeline.explain.explainer import Explainer
    from sports_clip_pipeline.explain.layers import find_layer
    from sports_clip_pipeline.explain.text_target import TextTarget
    from sports_clip_pipeline.models.clip_folder import load_clip

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
