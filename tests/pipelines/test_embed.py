from __future__ import annotations

import hashlib
import io
import typing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from sports_clip_pipeline.data.image_store import ImageStore, write_index, write_shard
from sports_clip_pipeline.encoders import embedder as embedder_module
from sports_clip_pipeline.encoders.embedding import Engine
from sports_clip_pipeline.encoders.feature_store import FeatureCache, concat_features
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.embed import nodes
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig
from sports_clip_pipeline.pipelines.embed.pipeline import create_pipeline

CONF = Path(__file__).parents[2] / "conf"


def drawn_store(folder: Path, count: int, seed: int) -> tuple[ImageStore, pd.DataFrame]:
    """Squares of noise as a store, and their manifest."""
    random = np.random.default_rng(seed)
    jpegs = []
    for _ in range(count):
        sink = io.BytesIO()
        Image.fromarray(random.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(sink, "JPEG")
        jpegs.append(sink.getvalue())
    names = [f"{i}.jpg" for i in range(count)]
    shard = write_shard(folder / "shard-00000.arrow", names, jpegs)
    write_index(folder, [{**shard, "dropped": []}])
    digests = [hashlib.sha256(jpeg).hexdigest() for jpeg in jpegs]
    return ImageStore(folder), pd.DataFrame({"stored_sha256": digests})


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    place = tmp_path_factory.mktemp("embed")
    (place / "f").mkdir()
    (place / "s").mkdir()
    captions = pd.DataFrame({"token_ids": [[101, 1037, 102], [101, 2158, 102]]})
    config = EmbedConfig(
        image_encoder="lite0", image_size=64, backend="torch", additional_encoders="lite1"
    )
    with pytest.MonkeyPatch.context() as patch:
        here = lambda *given, **named: replace(Engine(*given, **named), workers=0)  # noqa: E731
        patch.setattr(embedder_module, "Engine", here)
        return nodes.embed_corpora(
            *drawn_store(place / "f", 2, seed=0),
            *drawn_store(place / "s", 3, seed=1),
            captions,
            FeatureCache(place / "cache"),
            config,
            RunState(),
        )


def test_companions_see_the_labelled_corpus_alone(embedded: tuple) -> None:
    flickr8k, sports, texts, _ = embedded
    assert set(flickr8k) == {"features", "logits", "row"}
    assert set(sports) == {"features", "logits", "row", "additional.lite1"}
    features, widths = concat_features(sports)
    assert (features.shape, widths) == ((3, 2560), (1280, 1280))
    assert texts["features"].shape == (2, 384)


def test_the_audit_tells_of_every_tower(embedded: tuple) -> None:
    audit = embedded[3]
    assert set(audit["backends"]) == {"image", "text", "additional.lite1"}
    assert audit["image_encoder"] == audit["encoders"][0]["name"] == "lite0"
    assert audit["additional_encoders"] == ["lite1"]
    assert audit["weights_sha256"]["image"] == audit["encoders"][0]["weights_sha256"]
    assert audit["encoders"][1]["weights_sha256"].startswith("77cc7160")


def test_the_audit_holds_what_the_catalog_promises(embedded: tuple) -> None:
    catalog = yaml.safe_load((CONF / "base" / "catalog_embed.yml").read_text())
    assert set(catalog["embed_audit"]["fields"]) <= set(embedded[3])


def test_the_nodes_hints_resolve() -> None:
    for part in create_pipeline().nodes:
        assert typing.get_type_hints(part.func)
