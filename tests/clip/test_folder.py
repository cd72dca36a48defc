import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from sports_clip_pipeline.clip.folder import (
    WEIGHTS,
    load_clip,
    read_image_encoder,
    read_projections,
    read_text_encoder,
    trained_encoders,
    write_clip_folder,
)
from sports_clip_pipeline.clip.projections import Projections
from sports_clip_pipeline.encoders.image_encoders import image_preprocessing, load_image_encoder
from sports_clip_pipeline.errors import UserFacingError

RNG = np.random.default_rng(0)
PROJECTIONS = Projections(
    RNG.normal(size=(16, 1280)).astype(np.float32),
    RNG.normal(size=16).astype(np.float32),
    RNG.normal(size=(16, 384)).astype(np.float32),
    float(np.float32(2.5)),
)
TEXTS = ["a man bowls", "two teams play kabaddi in a hall"]
PIXELS = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
LOAD_ELSEWHERE = """
import sys, torch, numpy as np
import sports_clip_pipeline
model, _, tokenizer = sports_clip_pipeline.load_clip(sys.argv[1])[:3]
pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
with torch.inference_mode():
    np.savez(sys.argv[2], image=model.encode_image(pixels).numpy(),
             text=model.encode_text(tokenizer(sys.argv[3:])).numpy())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip"
    view = image_preprocessing("lite0", 64, "full")
    write_clip_folder(path, PROJECTIONS, "lite0", "minilm", view, 64)
    return path


def embeddings(model: torch.nn.Module, tokenizer: object) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        return model.encode_image(PIXELS).numpy(), model.encode_text(tokenizer(TEXTS)).numpy()


def test_the_folder_stores_projections_and_preprocessing(folder: Path) -> None:
    stored = read_projections(folder)
    np.testing.assert_array_equal(stored.image_weight, PROJECTIONS.image_weight)
    np.testing.assert_array_equal(stored.text_weight, PROJECTIONS.text_weight)
    assert stored.logit_scale == PROJECTIONS.logit_scale
    assert load_clip(folder).preprocessing == image_preprocessing("lite0", 64, "full")


def test_open_clip_loads_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ours = load_clip(folder)
    theirs, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    for left, right in zip(
        embeddings(ours.model, ours.tokenizer),
        embeddings(theirs.eval(), open_clip.get_tokenizer(f"local-dir:{folder}")),
        strict=True,
    ):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-3)


def test_embed_texts_agrees_with_the_model(folder: Path) -> None:
    clip = load_clip(folder)
    found = clip.embed_texts(TEXTS)
    _, expected = embeddings(clip.model, clip.tokenizer)
    expected = np.asarray(expected) / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32


def test_a_copy_works_without_the_original(folder: Path, tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "moved" / "copy"
    shutil.copytree(folder, original)
    clip = load_clip(original)
    image, text = embeddings(clip.model, clip.tokenizer)
    shutil.copytree(original, copy)
    shutil.rmtree(original)
    out = tmp_path / "out.npz"
    subprocess.run(
        [sys.executable, "-c", LOAD_ELSEWHERE, str(copy), str(out), *TEXTS],
        cwd=tmp_path, env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=True, timeout=300,
    )  # fmt: skip
    with np.load(out) as found:
        np.testing.assert_allclose(found["image"], image, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(found["text"], text, rtol=1e-4, atol=1e-3)


def test_damaged_folders_are_refused_with_the_remedy(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match=r"is no whole CLIP folder.*--pipelines=pretrain"):
        load_clip(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    weights = copy / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserFacingError, match="is no whole CLIP folder"):
        load_clip(copy)
    assert json.loads((copy / "open_clip_config.json").read_text())


def test_trained_weights_replace_packaged_ones(folder: Path, tmp_path: Path) -> None:
    view = image_preprocessing("lite0", 64, "full")
    bias = np.full(1280, 0.25, np.float32)
    trained = {"visual.trunk.bn2.bias": bias}
    write_clip_folder(tmp_path / "clip", PROJECTIONS, "lite0", "minilm", view, 64, trained)
    assert trained_encoders(tmp_path / "clip") == ("image",)
    assert trained_encoders(folder) == ()
    encoder = read_image_encoder(tmp_path / "clip")
    packaged = load_image_encoder("lite0").state_dict()
    assert list(encoder) == list(packaged), "the packaged 1,000-class head is among them"
    np.testing.assert_array_equal(encoder["bn2.bias"], bias)
    np.testing.assert_array_equal(encoder["bn2.weight"], packaged["bn2.weight"])
    assert read_image_encoder(folder) == read_text_encoder(tmp_path / "clip") == {}
    model = load_clip(tmp_path / "clip").model
    np.testing.assert_array_equal(model.state_dict()["visual.trunk.bn2.bias"], bias)


@pytest.mark.parametrize("name", ["visual.trunk.bn9.bias", "visual.trunk.bn2.bias"])
def test_a_trained_weight_that_the_model_lacks_is_refused(name: str, tmp_path: Path) -> None:
    view = image_preprocessing("lite0", 64, "full")
    trained = {name: np.zeros(7, np.float32)}
    with pytest.raises(ValueError, match=rf"no weight {name} of shape \(7,\)"):
        write_clip_folder(tmp_path / "clip", PROJECTIONS, "lite0", "minilm", view, 64, trained)
    assert not (tmp_path / "clip").exists()
