import hashlib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sports_clip_pipeline.data.image_store import ImageStore, write_index, write_shard
from sports_clip_pipeline.encoders import embedder as embedder_module
from sports_clip_pipeline.encoders.embedding import Engine
from sports_clip_pipeline.encoders.features import FeatureCache, concat_features
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.embed import nodes
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig
from tests.data.factories import jpeg


def random_store(folder: Path, count: int, seed: int) -> tuple[ImageStore, pd.DataFrame]:
    """Random images as a store, and their manifest."""
    jpegs = [jpeg(seed * 100 + i, 8, 8) for i in range(count)]
    names = [f"{i}.jpg" for i in range(count)]
    folder.mkdir()
    shard = write_shard(folder / "shard-00000.arrow", names, jpegs)
    write_index(folder, [{**shard, "dropped": []}])
    digests = [hashlib.sha256(content).hexdigest() for content in jpegs]
    return ImageStore(folder), pd.DataFrame({"stored_sha256": digests})


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    folder = tmp_path_factory.mktemp("embed")
    captions = pd.DataFrame({"token_ids": [[101, 1037, 102], [101, 2158, 102]]})
    config = EmbedConfig(
        image_encoder="lite0", image_size=64, backend="torch", additional_encoders="lite1"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            embedder_module, "Engine", lambda *a, **named: replace(Engine(*a, **named), workers=0)
        )
        return nodes.embed_corpora(
            *random_store(folder / "f", 2, seed=0),
            *random_store(folder / "s", 3, seed=1),
            captions,
            FeatureCache(folder / "cache"),
            config,
            RunState(),
        )


def test_additional_encoders_embed_the_labelled_corpus_only(embedded: tuple) -> None:
    flickr8k, sports, texts, _ = embedded
    assert set(flickr8k) == {"features", "logits", "row"}
    assert set(sports) == {"features", "logits", "row", "additional.lite1"}
    features, widths = concat_features(sports)
    assert (features.shape, widths) == ((3, 2560), (1280, 1280))
    assert texts["features"].shape == (2, 384)


def test_the_audit_lists_every_encoder(embedded: tuple) -> None:
    audit = embedded[3]
    assert set(audit["backends"]) == {"image", "text", "additional.lite1"}
    assert audit["image_encoder"] == audit["encoders"][0]["name"] == "lite0"
    assert audit["additional_encoders"] == ["lite1"]
    assert audit["weights_sha256"]["image"] == audit["encoders"][0]["weights_sha256"]
    assert audit["encoders"][1]["weights_sha256"].startswith("77cc7160")
