from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sports_clip_pipeline import load_exported
from sports_clip_pipeline.encoders.image_encoders import image_encoder, image_preprocessing
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.predictor import onnx_export
from sports_clip_pipeline.predictor.batch_prediction import NONE_OF_THESE
from sports_clip_pipeline.predictor.head import Head, Operation, add, affine
from sports_clip_pipeline.predictor.onnx_export import cached_export, export_predictor
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor, predictor_fingerprint
from tests.encoders.factories import write_image_encoder

RNG = np.random.default_rng(0)
CLASSES = ("chess", "judo", "wwe")
WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "timm", "kedro", "pandas", "sklearn", "scipy"}:
            raise ImportError(f"{name} must not be imported")

sys.meta_path.insert(0, NoTorch())
import json
from PIL import Image
from sports_clip_pipeline import load_exported

exported = load_exported(sys.argv[1], threads=1)
found = exported.predict_images([Image.open(path) for path in sys.argv[2:]])
print(json.dumps({"probabilities": found.tolist(), "answers": exported.answers(found)}))
"""


def linear(inputs: int, outputs: int, scale: float = 1.0) -> Operation:
    return affine(RNG.normal(scale=scale, size=(outputs, inputs)), RNG.normal(size=outputs))


def arrays(**values: float | list[float]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def full_head(widths: list[int]) -> Head:
    """A head with every operation, over encoders of these widths."""
    total = sum(widths)
    first = Operation("columns", arrays(start=0, stop=widths[0]))
    whitened = Operation("standardise", arrays(mean=[0.1] * widths[0], scale=[2.0] * widths[0]))
    probe = Head(
        (Operation("power", arrays(exponent=0.5)),
         Operation("blocks_l2_normalise", arrays(widths=list(map(float, widths)))),
         linear(total, 3, 3.0), Operation("scale", arrays(factor=0.6)))
    )  # fmt: skip
    cache = Head((first, Operation("l2_normalise"), linear(widths[0], 5),
                  Operation("affinity", arrays(sharpness=0.1)), linear(5, 3)))  # fmt: skip
    text = Head((first, whitened, linear(widths[0], 8, 0.2), Operation("gelu"), linear(8, 8),
                 Operation("layer_norm"), Operation("relu"), linear(8, 4),
                 Operation("softmax", arrays(temperature=2.0)), linear(4, 3)))  # fmt: skip
    return Head((add(probe, cache, text),))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny encoder with a local weight file, by name."""
    path = write_image_encoder(tmp_path_factory.mktemp("encoder") / "tiny.safetensors")
    return f"timm/test_resnet@{path}"


def pictures() -> list[Image.Image]:
    sizes = ((90, 60), (64, 64), (50, 120))
    grids = RNG.integers(0, 256, (3, 9, 9, 3), dtype=np.uint8)
    return [Image.fromarray(grid).resize(size) for grid, size in zip(grids, sizes, strict=True)]


@pytest.fixture(scope="module")
def stacked_ensemble(encoder: str) -> Predictor:
    """Two encoders, one trained; two views each, of two sizes; a head with every operation."""
    width = image_encoder(encoder).width
    module = image_encoder(encoder).load()
    trained = {name: value.numpy().copy() for name, value in module.state_dict().items()}
    trained[next(iter(trained))] *= 1.1
    views = ("full", "centre_flip")
    return Predictor(
        classes=CLASSES,
        encoders=(
            EncoderInput(encoder, image_preprocessing(encoder, 64, "full"), views, width),
            EncoderInput(encoder, image_preprocessing(encoder, 96, "full"), views, width),
        ),
        head=full_head([width, width]),
        temperature=1.7,
        encoder_weights=trained,
        origin={"method": "test"},
        threshold=0.5,
    )


@pytest.fixture(scope="module")
def exported(stacked_ensemble: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    assert export_predictor(stacked_ensemble, folder) <= 1e-4
    return folder


def test_the_network_agrees_with_eager_torch(stacked_ensemble: Predictor, exported: Path) -> None:
    images = pictures()
    found = load_exported(exported).predict_images(images)
    np.testing.assert_allclose(found, stacked_ensemble.predict_images(images), atol=1e-4)
    assert np.ptp(found, axis=0).max() > 0.01, "images have different predictions"
    assert load_exported(exported).predict_images([]).shape == (0, 3)


def test_the_record_describes_the_network(stacked_ensemble: Predictor, exported: Path) -> None:
    record = json.loads((exported / "exported.json").read_text())
    assert record["classes"] == list(CLASSES)
    assert [(spec["view"], spec["size"]) for spec in record["input_specs"]] == [
        ("full", 64), ("centre_flip", 64), ("full", 96), ("centre_flip", 96),
    ]  # fmt: skip
    encoders = [asdict(encoder) for encoder in stacked_ensemble.encoders]
    assert record["encoders"] == json.loads(json.dumps(encoders))
    assert (record["threshold"], record["temperature"]) == (0.5, 1.7)
    assert 0 <= record["parity"] <= 1e-4


def test_prediction_works_without_torch(
    stacked_ensemble: Predictor, exported: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, picture in zip(paths, pictures(), strict=True):
        picture.save(path)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, exported, *paths], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)
    expected = stacked_ensemble.predict_images([Image.open(path) for path in paths])
    np.testing.assert_allclose(output["probabilities"], expected, atol=1e-4)
    assert output["answers"] == stacked_ensemble.answers(expected)
    assert set(output["answers"]) <= {*CLASSES, NONE_OF_THESE}


def test_damaged_exports_are_refused_with_the_remedy(exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with pytest.raises(UserFacingError, match=r"is no exported predictor.*--pipelines=export"):
        load_exported(copy)
    copy.mkdir()
    network = (exported / "model.onnx").read_bytes()
    record = (exported / "exported.json").read_text()
    (copy / "exported.json").write_text(record)
    (copy / "model.onnx").write_bytes(network[:-1] + b"x")
    with pytest.raises(UserFacingError, match="its checksum differs"):
        load_exported(copy)
    (copy / "model.onnx").write_bytes(network)
    (copy / "exported.json").write_text(json.dumps({**json.loads(record), "format": 9}))
    with pytest.raises(UserFacingError, match="has format 9, wanted 1"):
        load_exported(copy)
    (copy / "exported.json").write_text(json.dumps({**json.loads(record), "input_specs": [{}]}))
    with pytest.raises(UserFacingError, match="is not a valid description"):
        load_exported(copy)


def test_an_export_with_other_probabilities_leaves_the_previous_one(
    stacked_ensemble: Predictor, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Shifted:
        def __init__(self, *exported: object, threads: int) -> None:
            pass

        def predict_images(self, images: list[Image.Image]) -> np.ndarray:
            return stacked_ensemble.predict_images(images) + 2e-4

    def write_network(predictor: Predictor, path: Path) -> list[object]:
        path.write_bytes(b"x")
        return []

    monkeypatch.setattr(onnx_export, "ExportedPredictor", Shifted)
    monkeypatch.setattr(onnx_export, "_write_network", write_network)
    before = (exported / "model.onnx").read_bytes()
    with pytest.raises(UserFacingError, match=r"by 0\.0002, at most 0\.0001 is allowed"):
        export_predictor(stacked_ensemble, exported)
    assert (exported / "model.onnx").read_bytes() == before


def test_large_weights_are_stored_in_a_file_beside_the_network(
    stacked_ensemble: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "_ONE_FILE_BYTES", 1000)
    first = replace(stacked_ensemble.encoders[0], views=("full",))
    small = replace(stacked_ensemble, encoders=(first,), head=Head((linear(first.width, 3),)))
    export_predictor(small, tmp_path / "model")
    weights = tmp_path / "model" / "model.onnx.data"
    images = pictures()
    found = load_exported(tmp_path / "model").predict_images(images)
    np.testing.assert_allclose(found, small.predict_images(images), atol=1e-4)
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UserFacingError, match="its checksum differs"):
        load_exported(tmp_path / "model")


def test_an_open_clip_pair_is_refused(stacked_ensemble: Predictor, tmp_path: Path) -> None:
    encoder = replace(stacked_ensemble.encoders[0], name="open_clip/ViT-B-32@random")
    pair = replace(stacked_ensemble, encoders=(encoder,))
    with pytest.raises(UserFacingError, match="pairs has not been tried"):
        export_predictor(pair, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_cached_export_is_reused_by_the_same_predictor_only(
    stacked_ensemble: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    class Here:
        """Stands for a process pool."""

        def __init__(self, *setup: object) -> None:
            pass

        def __enter__(self) -> Here:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def submit(self, work: object, predictor: Predictor, folder: Path) -> Here:
            folder.mkdir()
            (folder / "exported.json").write_text("{}")
            made.append(predictor_fingerprint(predictor))
            return self

        def result(self) -> None:
            pass

    monkeypatch.setattr(onnx_export, "worker_processes", Here)
    state = RunState(tmp_path)
    folder = cached_export(stacked_ensemble, state)
    assert cached_export(stacked_ensemble, state) == folder
    cached_export(replace(stacked_ensemble, threshold=0.6), state)
    cached_export(replace(stacked_ensemble, encoder_weights={}), state)
    assert len(made) == len(set(made)) == 3
