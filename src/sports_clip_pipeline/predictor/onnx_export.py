"""ONNX export of a predictor, and the exported predictor, which runs without torch.

An exported folder has `model.onnx` (large weights in `model.onnx.data`) and `exported.json`. The
network maps uint8 crops to calibrated probabilities.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sports_clip_pipeline.data.transforms import InputSpec
from sports_clip_pipeline.encoders.backends import export_quietly, onnx_session
from sports_clip_pipeline.encoders.weights import is_pair
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.fingerprint import file_sha256, fingerprint
from sports_clip_pipeline.io.state import RunState, replacing_folder
from sports_clip_pipeline.machine import exit_with_parent, worker_processes
from sports_clip_pipeline.predictor.batch_prediction import BuildClassifier, predict_rows

if TYPE_CHECKING:
    from sports_clip_pipeline.predictor.predictor import Predictor

FORMAT = 1
RECORD, NETWORK = "exported.json", "model.onnx"
PROBABILITIES = "probabilities"
PARITY = 1e-4
_REMEDY = "run `kedro run --pipelines=export` to make it again"
# A protobuf holds 2 GiB; larger weights are stored in a file beside it.
_ONE_FILE_BYTES = 1_800_000_000
# Width and height of the images that the export is tested on.
_SHAPES = ((320, 240), (180, 300), (224, 224), (90, 70), (640, 200), (256, 256))


class ExportedPredictor:
    """An ONNX predictor; needs ONNX Runtime, NumPy and Pillow alone.

    Attributes:
        classes: labels in the order of the probabilities.
        input_specs: of the network's inputs, in order.
        threshold: least top-1 probability that gives a class; None never abstains.
        record: content of `exported.json`.
        rows: images a forward pass: few, so that they stay in a core's cache.
    """

    rows = 2

    def __init__(self, folder: Path, record: Mapping[str, Any], threads: int) -> None:
        """Open a folder whose record was read; `load_exported` checks it first."""
        self.record = dict(record)
        self.classes = tuple(record["classes"])
        self.input_specs = tuple(InputSpec(**spec) for spec in record["input_specs"])
        self.threshold: float | None = record["threshold"]
        self._session = onnx_session(folder / NETWORK, threads)

    def __call__(self, crops: Sequence[Sequence[np.ndarray] | np.ndarray]) -> np.ndarray:
        """(B, S, S, 3) uint8 of each input spec to probabilities (B, C) float32."""
        found = [np.zeros((0, len(self.classes)), dtype=np.float32)]
        for start in range(0, len(crops[0]), self.rows):
            inputs = {
                spec.name: np.asarray(block[start : start + self.rows])
                for spec, block in zip(self.input_specs, crops, strict=True)
            }
            found.append(self._session.run([PROBABILITIES], inputs)[0])
        return np.concatenate(found)

    def predict_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Probabilities (N, C) float32 of upright images."""
        return self([[spec.pixels(image) for image in images] for spec in self.input_specs])

    def answers(self, probabilities: np.ndarray) -> list[str]:
        """The most probable class of each row (N, C), `none of these` below the threshold."""
        return predict_rows(probabilities, self.classes, self.threshold)


def load_exported(path: str | Path, threads: int = 0) -> ExportedPredictor:
    """Read an exported predictor's folder; imports no torch.

    Args:
        threads: of ONNX Runtime; 0 means one for each core.
    Raises: UserFacingError: a file is missing or damaged, or has another format.
    """
    folder = Path(path)
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        file_format, checksum = record["format"], record["sha256"]
        digest = _network_digest(folder)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserFacingError(folder, f"is no exported predictor ({error!r})", _REMEDY) from error
    if file_format != FORMAT:
        raise UserFacingError(folder, f"has format {file_format!r}, wanted {FORMAT}", _REMEDY)
    if digest != checksum:
        raise UserFacingError(folder / NETWORK, "its checksum differs", _REMEDY)
    try:
        return ExportedPredictor(folder, record, threads)
    except (LookupError, TypeError, ValueError) as error:
        what = f"is not a valid description ({error!r})"
        raise UserFacingError(folder / RECORD, what, _REMEDY) from error


def can_export(predictor: "Predictor") -> bool:
    """Whether all encoders are timm's; the export of open_clip pairs is not supported."""
    return not any(is_pair(encoder.name) for encoder in predictor.encoders)


def export_predictor(predictor: "Predictor", folder: Path) -> float:
    """Write the folder that `load_exported` reads, atomically.

    Returns: the greatest difference to eager torch's probabilities on test images.
    Raises: UserFacingError: an encoder cannot be exported, or that difference is above 1e-4.
    """
    if not can_export(predictor):
        names = ", ".join(encoder.name for encoder in predictor.encoders if is_pair(encoder.name))
        raise UserFacingError(
            f"predictor with {names}",
            "the export of open_clip's own pairs has not been tried",
            "set embed.image_encoder to one of timm's, or use load_predictor",
        )
    with replacing_folder(folder) as partial:
        input_specs = _write_network(predictor, partial / NETWORK)
        record = {
            "format": FORMAT,
            "classes": list(predictor.classes),
            "input_specs": [spec.to_dict() for spec in input_specs],
            "encoders": [asdict(encoder) for encoder in predictor.encoders],
            "temperature": predictor.temperature,
            "threshold": predictor.threshold,
            "sha256": _network_digest(partial),
            "origin": predictor.origin,
        }
        images = synthetic_images()
        exported = ExportedPredictor(partial, record, threads=1).predict_images(images)
        difference = float(np.abs(exported - predictor.predict_images(images)).max())
        if difference > PARITY:
            limit = f"{difference:.2g}, at most {PARITY:g} is allowed"
            what = f"its probabilities differ from eager torch's by {limit}"
            raise UserFacingError(folder, what, "use load_predictor, or predict.backend=torch")
        text = json.dumps({**record, "parity": difference}, indent=2, ensure_ascii=False) + "\n"
        (partial / RECORD).write_text(text, encoding="utf-8")
    return difference


def cached_export(predictor: "Predictor", state: RunState) -> Path:
    """The exported folder in the state's workspace, written once; see `export_predictor`."""
    from sports_clip_pipeline.predictor.predictor import predictor_fingerprint

    content = fingerprint(FORMAT, predictor_fingerprint(predictor))
    folder = state.workspace("exported", content) / "model"
    if not (folder / RECORD).exists():
        # A process of its own releases the memory of torch's export.
        with worker_processes(1, exit_with_parent) as pool:
            pool.submit(export_predictor, predictor, folder).result()
    return folder


def classifier_builder(
    predictor: "Predictor", state: RunState, backend: str = "auto"
) -> BuildClassifier:
    """What `predict_all` builds on its workers, by `predict.backend`.

    `auto` is `torch` where the export is unsupported.
    """
    if backend == "torch" or (backend == "auto" and not can_export(predictor)):
        from sports_clip_pipeline.predictor.encoder_classifier import TorchClassifier

        return partial(TorchClassifier, predictor)
    return partial(load_exported, cached_export(predictor, state))


def synthetic_images() -> list[Image.Image]:
    """Smooth random images of several shapes, always the same."""
    rng = np.random.default_rng(0)
    grids = (rng.integers(0, 256, (9, 9, 3), dtype=np.uint8) for _ in _SHAPES)
    return [
        Image.fromarray(grid).resize(shape, Image.Resampling.BICUBIC)
        for grid, shape in zip(grids, _SHAPES, strict=True)
    ]


def _write_network(predictor: "Predictor", path: Path) -> tuple[InputSpec, ...]:
    """Returns: the input specs of the network's inputs."""
    import torch

    from sports_clip_pipeline.predictor.encoder_classifier import FullPredictor

    module = FullPredictor(predictor)
    sizes = [spec.size for spec in module.input_specs]
    example = tuple(torch.zeros(2, size, size, 3, dtype=torch.uint8) for size in sizes)
    batch = torch.export.Dim("batch")
    exported = export_quietly(
        module,
        example,
        dynamic_shapes=(tuple({0: batch} for _ in example),),
        input_names=[spec.name for spec in module.input_specs],
        output_names=[PROBABILITIES],
    )
    weights = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    exported.save(path, external_data=weights > _ONE_FILE_BYTES)
    return module.input_specs


def _network_digest(folder: Path) -> str:
    """Sha256 of the network's file, and of the file of its weights if there is one.

    Raises: FileNotFoundError: there is no network.
    """
    digest, weights = hashlib.sha256(), folder / f"{NETWORK}.data"
    for path in (folder / NETWORK, *([weights] if weights.exists() else [])):
        digest.update(bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()
