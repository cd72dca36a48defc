"""The nodes of `pretrain` on a few generated images, with locked and unlocked encoders."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch

from sports_clip_pipeline.clip.folder import (
    load_clip,
    read_image_encoder,
    read_projections,
    trained_encoders,
)
from sports_clip_pipeline.data.captions import pad
from sports_clip_pipeline.encoders import embedder as embedder_module
from sports_clip_pipeline.encoders.embedder import Embedder
from sports_clip_pipeline.encoders.embedding import Engine
from sports_clip_pipeline.encoders.features import FeatureCache
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io import ClipFolderDataset
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig, TokenizeConfig
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.pipelines.pretrain.nodes import embed_with_clip, pretrain_clip
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor, load_predictor
from tests.conftest import SMALL_STUDY, Kedro
from tests.training.corpus import CONTEXT, Corpus, make_corpus

EMBED = EmbedConfig(image_encoder="lite0", image_size=64, backend="torch", workers=1)
TOKENIZE = TokenizeConfig(context_length=CONTEXT)
LOCKED = PretrainConfig(embed_dim=16, epochs=2, batch_size=10, device="cpu")
UNLOCKED = LOCKED.model_copy(
    update={
        "unlocked_image_blocks": 1, "unlocked_text_blocks": 1, "encoder_epochs": 1,
        "encoder_batch_size": 5, "encoder_peak_lr": 1e-3,
    }
)  # fmt: skip


@dataclass
class Study:
    """A corpus with the outputs of `embed` and a folder for run states."""

    corpus: Corpus
    images: dict[str, np.ndarray]
    texts: dict[str, np.ndarray]
    audit: dict[str, Any]
    folder: Path

    def pretrain(self, config: PretrainConfig, name: str) -> tuple[Path, pd.DataFrame]:
        folder, curve = pretrain_clip(
            self.images, self.texts, self.corpus.store, self.corpus.manifest,
            self.corpus.captions, self.audit, FeatureCache(self.folder / "cache"), EMBED, config,
            TOKENIZE, self.state(name),
        )  # fmt: skip
        path = self.folder / name / "clip"
        ClipFolderDataset(filepath=str(path)).save(folder)
        return path, curve

    def embed(self, clip: Path) -> tuple[dict[str, np.ndarray], ...]:
        store, manifest = self.corpus.store, self.corpus.manifest
        return embed_with_clip(
            clip, self.images, {**self.images, "additional.lite1": np.ones((14, 3))}, self.texts,
            store, manifest, store, manifest, self.corpus.captions, EMBED,
            self.state(clip.parent.name),
        )  # fmt: skip

    def state(self, name: str) -> RunState:
        return RunState(self.folder / name / "state")


@pytest.fixture(scope="module", autouse=True)
def in_process() -> Iterator[None]:
    """Compute without workers, which take seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            embedder_module, "Engine", lambda *a, **named: replace(Engine(*a, **named), workers=0)
        )
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("pretrain")
    corpus = make_corpus(folder)
    embedder = Embedder(EMBED, FeatureCache(folder / "cache"), RunState(folder / "state"))
    images = embedder.images("flickr8k", corpus.store, corpus.manifest)
    texts = embedder.captions(list(corpus.captions["token_ids"]))
    return Study(corpus, images, texts, embedder.audit, folder)


@pytest.fixture(scope="module")
def unlocked(study: Study) -> tuple[Path, pd.DataFrame]:
    return study.pretrain(UNLOCKED, "unlocked")


@pytest.fixture(scope="module")
def features(study: Study, unlocked: tuple[Path, pd.DataFrame]) -> tuple[dict[str, Any], ...]:
    return study.embed(unlocked[0])


def pixels(study: Study) -> np.ndarray:
    view = study.corpus.preprocessing
    return view.normalise([view.crop(study.corpus.store.get(i)) for i in range(14)])


def test_locked_encoders_keep_the_features_of_embed(study: Study) -> None:
    clip, curve = study.pretrain(LOCKED, "locked")
    assert trained_encoders(clip) == ()
    assert read_image_encoder(clip) == {}
    assert set(curve["encoders"]) == {"locked"}
    flickr8k, sports, texts = study.embed(clip)
    assert flickr8k is study.images
    assert texts is study.texts
    assert sports["features"] is study.images["features"]


def test_the_curve_continues_with_unlocked_encoders(unlocked: tuple[Path, pd.DataFrame]) -> None:
    _, curve = unlocked
    assert curve["encoders"].tolist() == ["locked", "locked", "unlocked"]
    assert curve["epoch"].tolist() == [1, 2, 3]
    assert curve["step"].tolist() == [1, 2, 4]
    assert not curve.isna().any(axis=None)


def test_model_and_features_agree(
    study: Study, unlocked: tuple[Path, pd.DataFrame], features: tuple[dict[str, Any], ...]
) -> None:
    clip, _ = unlocked
    assert trained_encoders(clip) == ("image", "text")
    flickr8k, sports, texts = features
    assert not np.allclose(flickr8k["features"], study.images["features"], atol=1e-3)
    assert not np.allclose(texts["features"], study.texts["features"], atol=1e-3)
    np.testing.assert_array_equal(sports["features"], flickr8k["features"])
    assert sports["additional.lite1"].shape == (14, 3), "additional_encoders are handed on"

    ids = torch.from_numpy(pad(list(study.corpus.captions["token_ids"]))[0])
    projections = read_projections(clip)
    theirs, _, _ = open_clip.create_model_and_transforms(f"local-dir:{clip}")
    for model in (load_clip(clip).model, theirs.eval()):
        with torch.inference_mode():
            image_emb = model.encode_image(torch.from_numpy(pixels(study)), normalize=True)
            text_emb = model.encode_text(ids, normalize=True)
        for actual, expected in (
            (image_emb, projections.image_embeddings(flickr8k["features"])),
            (text_emb, projections.text_embeddings(texts["features"])),
        ):
            np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_a_predictor_holds_the_trained_encoder(
    study: Study,
    unlocked: tuple[Path, pd.DataFrame],
    features: tuple[dict[str, Any], ...],
    tmp_path: Path,
) -> None:
    weight = np.random.default_rng(0).normal(0, 0.1, (3, 1280)).astype(np.float32)
    head = Head((Operation("affine", {"weight": weight, "bias": np.zeros(3, np.float32)}),))
    encoders = (EncoderInput("lite0", study.corpus.preprocessing, (), 1280),)
    trained = read_image_encoder(unlocked[0])
    Predictor(("a", "b", "c"), encoders, head, encoder_weights=trained).save(tmp_path / "p")
    predictor = load_predictor(tmp_path / "p")
    expected = predictor.predict_proba(features[1]["features"])
    images = [study.corpus.store.get(i) for i in range(14)]
    np.testing.assert_allclose(predictor.predict_images(images), expected, atol=1e-4)
    with torch.inference_mode():
        logits = predictor.module()(torch.from_numpy(pixels(study)))
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), expected, atol=1e-4)


def test_only_trained_encoders_embed_again(study: Study) -> None:
    clip, _ = study.pretrain(UNLOCKED.model_copy(update={"unlocked_image_blocks": 0}), "text")
    assert trained_encoders(clip) == ("text",)
    flickr8k, _, texts = study.embed(clip)
    assert flickr8k is study.images
    assert not np.allclose(texts["features"], study.texts["features"], atol=1e-3)


@pytest.mark.slow
def test_a_run_with_an_unlocked_block_is_consistent_from_pretrain_to_cam(
    own_run: Path, kedro: Kedro
) -> None:
    unlocked = "pretrain.unlocked_image_blocks=1,pretrain.encoder_epochs=1"
    stages = "--pipelines=pretrain,zero_shot,finetune,cam,predict"
    done = kedro(own_run, "run", stages, f"{SMALL_STUDY},{unlocked}")
    assert done.returncode == 0, done.stderr + done.stdout[-4000:]
    models = own_run / "data/06_models/sample"
    embedded = own_run / "data/04_feature/sample"
    features = models / "clip_features/sports.safetensors"
    assert not features.samefile(embedded / "sports_features.safetensors")
    captions = models / "clip_features/captions.safetensors"
    assert captions.samefile(embedded / "caption_features.safetensors"), (
        "the text encoder is locked"
    )
    record = json.loads((models / "predictor/predictor.json").read_text())
    assert record["encoder_weights"] == "own"
    loaded = load_predictor(models / "predictor").encoder_weights
    trained = read_image_encoder(models / "clip")
    assert loaded.keys() == trained.keys()
    for name in ("blocks.6.0.conv_pw.weight", "conv_head.weight", "classifier.weight"):
        np.testing.assert_array_equal(loaded[name], trained[name])


def test_random_views_need_several_views_in_the_cache(study: Study) -> None:
    drawn = LOCKED.model_copy(update={"random_views": True})
    with pytest.raises(UserFacingError, match=r"wanted two views or more, as embed made them"):
        study.pretrain(drawn, "drawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(study.audit, "views", ["full", "centre"])
        patch.setitem(globals(), "EMBED", EMBED.model_copy(update={"views": ("full", "centre")}))
        with pytest.raises(UserFacingError, match=r"every view any more; run .*--pipelines=embed"):
            study.pretrain(drawn, "drawn")
