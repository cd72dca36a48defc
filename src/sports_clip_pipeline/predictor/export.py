"""Writing a predictor as one ONNX network that runs without torch, and checking what it says."""

from __future__ import annotations

import json
import logging
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sports_clip_pipeline.encoders.registry import is_pair
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.fingerprint import fingerprint
from sports_clip_pipeline.io.state import RunState, replacing_folder
from sports_clip_pipeline.machine import exit_with_parent
from sports_clip_pipeline.predictor.onnx_predictor import (
    FORMAT,
    NETWORK,
    PROBABILITIES,
    RECORD,
    load_exported,
    network_digest,
)
from sports_clip_pipeline.predictor.predictor import Predictor, predictor_fingerprint

PARITY = 1e-4
# A protobuf holds 2 GiB; weights beyond this stand in a file beside it.
_ONE_FILE_BYTES = 1_800_000_000
# Width and height of the drawn pictures that the export is tried on: upright, lying, square, small.
_SHAPES = ((320, 240), (180, 300), (224, 224), (90, 70), (640, 200), (256, 256))


def can_export(predictor: Predictor) -> bool:
    """Whether all encoders are timm's; the export of open_clip's own pairs has not been tried."""
    return not any(is_pair(tower.name) for tower in predictor.towers)


def export_predictor(predictor: Predictor, folder: Path) -> float:
    """Write the folder that `load_exported` reads, whole or not at all.

    Returns: the greatest difference to eager torch's probabilities on drawn pictures.
    Raises: UserFacingError: an encoder cannot be exported, or that difference is above 1e-4.
    """
    if not can_export(predictor):
        names = ", ".join(tower.name for tower in predictor.towers if is_pair(tower.name))
        raise UserFacingError(
            f"predictor with {names}",
            "the export of open_clip's own pairs has not been tried",
            "set embed.image_encoder to one of timm's, or use load_predictor",
        )
    with replacing_folder(folder) as partial:
        input_specs = _write_network(predictor, partial / NETWORK)
        record = _record(predictor, input_specs, network_digest(partial))
        _write_record(partial, record)
        difference = parity(predictor, partial)
        if difference > PARITY:
            raise UserFacingError(
                folder,
                f"its probabilities differ from eager torch's by {difference:.2g}, at most "
                f"{PARITY:g} is allowed",
                "use load_predictor, or predict.backend=torch",
            )
        _write_record(partial, {**record, "parity": difference})
    return difference


def cached_export(predictor: Predictor, journal: RunState) -> Path:
    """The exported form in the journal's workspace, made there if it is not; see above."""
    folder = (
        journal.workspace("exported", fingerprint(FORMAT, predictor_fingerprint(predictor)))
        / "model"
    )
    if not (folder / RECORD).exists():
        # What torch's export leaves in memory ends with that process.
        with ProcessPoolExecutor(1, get_context("spawn"), exit_with_parent) as pool:
            pool.submit(export_predictor, predictor, folder).result()
    return folder


def parity(predictor: Predictor, folder: Path) -> float:
    """The greatest difference of probabilities, in [0, 1], on drawn pictures of several shapes."""
    pictures = drawn_pictures()
    found = load_exported(folder, threads=1).predict_images(pictures)
    return float(np.abs(found - predictor.predict_images(pictures)).max())


def drawn_pictures() -> list[Image.Image]:
    """Smooth blotches of colour in the shapes of images; the same every time."""
    rng = np.random.default_rng(0)
    grids = (rng.integers(0, 256, (9, 9, 3), dtype=np.uint8) for _ in _SHAPES)
    return [
        Image.fromarray(grid).resize(shape, Image.Resampling.BICUBIC)
        for grid, shape in zip(grids, _SHAPES, strict=True)
    ]


def _write_network(predictor: Predictor, path: Path) -> list[dict[str, Any]]:
    """Returns: the input_specs of the inputs, JSON-like."""
    import torch

    from sports_clip_pipeline.predictor.encoder_classifier import WholePredictor

    module = WholePredictor(predictor)
    batch = torch.export.Dim("batch")
    example = tuple(
        torch.zeros(2, spec.size, spec.size, 3, dtype=torch.uint8) for spec in module.input_specs
    )
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        exported = torch.onnx.export(
            module,
            example,
            dynamo=True,
            dynamic_shapes=(tuple({0: batch} for _ in example),),
            input_names=[spec.name for spec in module.input_specs],
            output_names=[PROBABILITIES],
            verbose=False,
        )
    if exported is None:
        raise RuntimeError("torch exported nothing for the predictor")
    weights = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    exported.save(path, external_data=weights > _ONE_FILE_BYTES)
    return [spec.to_dict() for spec in module.input_specs]


def _record(predictor: Predictor, input_specs: list[dict[str, Any]], digest: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "classes": list(predictor.classes),
        "input_specs": input_specs,
        "towers": [tower.to_dict() for tower in predictor.towers],
        "temperature": predictor.temperature,
        "threshold": predictor.threshold,
        "sha256": digest,
        "origin": predictor.origin,
    }


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    (folder / RECORD).write_text(text, encoding="utf-8")
