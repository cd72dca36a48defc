"""Nodes of `cam` and `cam_eval`."""

from pathlib import Path
from typing import Any

from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.explain import GUIDED
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.cam.config import (
    PREDICTED,
    TRUE,
    CamConfig,
    CamEvalConfig,
)
from sports_clip_pipeline.pipelines.wiring import Figure, Table

# Neither can explain a difference of two scores.
NO_CONTRAST = ("eigencam", GUIDED)


def sample_images(test_predictions: Table, cam: CamConfig) -> Table:
    """Sample confident correct and wrong predictions of the classifier over the classes."""
    from sports_clip_pipeline.explain.sampling import sample_predictions

    prediction = _said(test_predictions)
    return sample_predictions(prediction, cam.right, cam.wrong, cam.confident_share, cam.seed)


def sample_confused(test_predictions: Table, confusion_pairs: Table, cam: CamConfig) -> Table:
    """Sample an image of either class for each of the most confused pairs."""
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
    cam_state: RunState,
    cam: CamConfig,
) -> list[Any]:
    """CAM gallery: maps of classes and prompts, guided backpropagation, class contrasts."""
    from sports_clip_pipeline.explain.explainer import Explainer, Prediction
    from sports_clip_pipeline.explain.networks import classifier_network

    network = classifier_network(predictor, cam.layer)
    by_class = Explainer(network, cam.picture_px, cam.picture_quality)
    by_text = _text_explainer(clip_model, cam_choice, class_bank, cam)
    rows = _rows(sports_manifest, [*cam_choice["image"], *cam_pairs["image"]])
    chosen = cam_choice[["image", "label", "predicted", "probability"]].itertuples(index=False)
    cards = []
    for choice in cam_state.progress_bar("cam", len(cam_choice), "image", chosen):
        prediction = Prediction(*choice)
        image = sports_images.get(rows[prediction.image])
        cards += _cards(image, prediction, by_class, by_text, class_bank, cam)
    for image, label, predicted, probability, *pair in cam_pairs.itertuples(index=False):
        prediction = Prediction(image, label, predicted, probability)
        cards += _contrasts(sports_images.get(rows[image]), prediction, by_class, pair, cam)
    return cards


def _said(test_predictions: Table) -> Table:
    """The predictions of the fine-tuned classifier, with the columns of `explain.sampling`."""
    names = {"finetuned_label": "predicted", "finetuned_probability": "probability"}
    return test_predictions.rename(columns=names)


def _rows(manifest: Table, chosen: list[str]) -> dict[str, int]:
    """Row of each image in the store. Raises: UserFacingError: a sampled one is missing."""
    from sports_clip_pipeline.explain.sampling import check_in_store

    rows = {image: row for row, image in enumerate(manifest["image"])}
    check_in_store(chosen, rows, "cam")
    return rows


def _cards(
    image: Any, prediction: Any, by_class: Any, by_text: Any, bank: ClassBank, cam: CamConfig
) -> list[Any]:
    """All cards of one image."""
    names = _fill(cam.classes, prediction.label, prediction.predicted)
    cards = [
        by_class.explain(image, prediction, n, method) for n in names for method in cam.methods
    ]
    if cam.guided and not (GUIDED in cam.methods and prediction.predicted in names):
        cards.append(by_class.explain(image, prediction, prediction.predicted, GUIDED))
    prompts = _prompts(cam, bank, prediction.label, prediction.predicted)
    return cards + [
        by_text.explain(image, prediction, prompt, method)
        for prompt in prompts
        for method in cam.methods
    ]


def _contrasts(
    image: Any, prediction: Any, by_class: Any, pair: list[str], cam: CamConfig
) -> list[Any]:
    """Contrast maps of either class of a pair against the other, the predicted class first."""
    first, second = sorted(pair, key=lambda name: name != prediction.predicted)
    method = next((name for name in cam.methods if name not in NO_CONTRAST), "gradcam")
    return [
        by_class.explain(image, prediction, names, method)
        for names in ((first, second), (second, first))
    ]


def _text_explainer(clip_model: Path, choice: Table, bank: ClassBank, cam: CamConfig) -> Any:
    """Explainer of CLIP scores; each prompt of any image is encoded once."""
    from sports_clip_pipeline.clip.folder import load_clip
    from sports_clip_pipeline.explain.explainer import Explainer
    from sports_clip_pipeline.explain.networks import prompt_network

    pairs = zip(choice["label"], choice["predicted"], strict=True)
    prompts = tuple(dict.fromkeys(text for pair in pairs for text in _prompts(cam, bank, *pair)))
    if not prompts:
        return None
    clip = load_clip(clip_model)
    network = prompt_network(clip, prompts, clip.embed_texts(prompts), cam.layer)
    return Explainer(network, cam.picture_px, cam.picture_quality)


def _prompts(cam: CamConfig, bank: ClassBank, label: str, predicted: str) -> tuple[str, ...]:
    return _fill(cam.prompts, bank.prompts(label)[0], bank.prompts(predicted)[0])


def _fill(texts: tuple[str, ...], true: str, predicted: str) -> tuple[str, ...]:
    """The texts with placeholders filled in, each once, in order."""
    filled = {TRUE: true, PREDICTED: predicted}
    return tuple(dict.fromkeys(filled.get(text, text) for text in texts))


def measure_maps(
    test_predictions: Table,
    sports_images: Any,
    sports_manifest: Table,
    predictor: Any,
    clip_model: Path,
    class_bank: ClassBank,
    cam_eval_state: RunState,
    cam_eval: CamEvalConfig,
) -> Table:
    """Every method's maps on a draw of evaluation images; baselines and shuffled weights too."""
    from sports_clip_pipeline.explain.measurement import FITTED_ON, Work, measure_images, plan_items
    from sports_clip_pipeline.explain.sampling import sample_for_measurement

    prediction = test_predictions.rename(columns={"finetuned_label": "predicted"})
    draw = sample_for_measurement(prediction, cam_eval.images, cam_eval.wrong_share, cam_eval.seed)
    items = plan_items(draw, sports_manifest, cam_eval)
    plan = _networks(predictor, clip_model, class_bank, cam_eval)
    predicted = sports_manifest["image"].isin(prediction["image"]).to_numpy()
    fitted_on = tuple(predicted.nonzero()[0].tolist()[:FITTED_ON])
    work = Work(sports_images, plan.build, plan.identity(), fitted_on, cam_eval)
    return measure_images(items, work, cam_eval_state)


def summarise_maps(
    cam_eval_scores: Table, cam_eval_state: RunState, cam_eval: CamEvalConfig
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

    verdicts = explanation_verdicts(cam_eval_summary, cam_eval.correlation_limit)
    return verdicts.assign(answers=predictions_fingerprint(test_predictions))


def draw_maps_figure(cam_eval_summary: Table) -> Figure:
    """Differences to the better baseline, a panel a measure."""
    from sports_clip_pipeline.report.gallery import map_quality_figure

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
