import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from sports_clip_pipeline.clip.folder import (
    load_clip,
    read_image_encoder,
    read_projections,
    write_clip_folder,
)
from sports_clip_pipeline.clip.projections import identity_projections
from sports_clip_pipeline.encoders.image_encoders import (
    check_image_size,
    image_encoder,
    image_preprocessing,
    load_image_encoder,
    pooled_features,
)
from sports_clip_pipeline.encoders.open_clip_pairs import (
    PairTokenizer,
    build_pair,
    pair_spec,
)
from sports_clip_pipeline.encoders.text_encoders import (
    caption_tokenizer,
    load_text_encoder,
    text_encoder_spec,
)
from sports_clip_pipeline.errors import UserFacingError

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {
        "context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2,
    },
}  # fmt: skip
TEXTS = ["a man swims in a pool", "two dogs"]


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny pair with random weights, in open_clip's folder form."""
    folder = tmp_path_factory.mktemp("pair")
    torch.manual_seed(3)
    model = open_clip.CustomTextCLIP(**CONFIG)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    record = {"model_cfg": CONFIG, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(record))
    return f"open_clip/tiny@{folder}"


def test_features_of_a_pair_are_open_clips_embeddings(name: str) -> None:
    model: Any = pair_spec(name).load_pair()
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ids = caption_tokenizer(name, 77)(TEXTS).ids
    block = torch.from_numpy(np.stack(ids)).long()
    torch.testing.assert_close(block, open_clip.get_tokenizer("ViT-B-32")(TEXTS))
    with torch.inference_mode():
        image, text = model.encode_image(pixels), model.encode_text(block)
        found = load_text_encoder(name)(block, torch.ones_like(block))
    np.testing.assert_allclose(
        pooled_features(load_image_encoder(name), pixels.numpy()), image.numpy(), atol=1e-5
    )
    torch.testing.assert_close(found, text)
    assert image_encoder(name).width == 16


def test_a_clip_folder_of_a_pair_is_loaded_by_open_clip_and_by_us(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    view = image_preprocessing(name, 32, "full")
    assert view.mean == (0.5, 0.5, 0.5)
    given = identity_projections(16, 3.25, None)
    trained = {"visual.proj": np.ones((16, 16), np.float32)}
    write_clip_folder(tmp_path / "clip", given, name, name, view, 77, trained)
    assert read_projections(tmp_path / "clip").logit_scale == 3.25
    assert read_image_encoder(tmp_path / "clip")["visual.proj"].min() == 1.0
    ours = load_clip(tmp_path / "clip")
    theirs, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'clip'}")
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ids = ours.tokenizer(TEXTS)
    with torch.inference_mode():
        torch.testing.assert_close(ours.model.encode_image(pixels), theirs.encode_image(pixels))
        torch.testing.assert_close(ours.model.encode_text(ids), theirs.encode_text(ids))


def pair_with_hugging_face_tokenizer(folder: Path) -> PairTokenizer:
    """Of a pair whose tokenizer is Hugging Face's, not CLIP's."""
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(text_encoder_spec("minilm").folder / name, folder)
    text = {**CONFIG["text_cfg"], "hf_tokenizer_name": "its folder", "context_length": 8}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": {**CONFIG, "text_cfg": text}})
    )
    (folder / "open_clip_model.safetensors").touch()
    return PairTokenizer(pair_spec(f"open_clip/tiny@{folder}"))


def test_both_tokenizers_report_truncated_texts(name: str, tmp_path: Path) -> None:
    of_words = ["dog " * count for count in range(1, 10)]
    hf = pair_with_hugging_face_tokenizer(tmp_path / "hf")
    tokens = hf(of_words)
    assert {len(row) for row in tokens.ids} == {8}
    # Six words fit between the first token and the last.
    assert tokens.truncated.tolist() == [False] * 6 + [True] * 3
    assert not hf([""]).truncated.any()
    own = caption_tokenizer(name, 77)
    assert own(["dog " * 75, "dog " * 76]).truncated.tolist() == [False, True]


def test_other_image_sizes_and_context_lengths_are_refused(name: str) -> None:
    with pytest.raises(UserFacingError, match=r"takes 32 pixels, got 64; set embed\.image_size=32"):
        check_image_size(name, 64)
    with pytest.raises(UserFacingError, match="reads 77 tokens, got 64"):
        caption_tokenizer(name, 64)


def test_pairs_of_open_clips_table_have_their_record() -> None:
    spec = pair_spec("open_clip/ViT-B-32@random")
    assert (spec.width, spec.own_size, spec.context_length) == (512, 224, 77)
    assert spec.digest != pair_spec("open_clip/RN50@random").digest
    hub = pair_spec("open_clip/ViT-B-32@laion2b_s34b_b79k").weights
    assert hub.repository == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    assert pair_spec("open_clip/ViT-B-32@openai").model_config["quick_gelu"]


@pytest.mark.parametrize(
    ("unsupported", "message"),
    [
        ("open_clip/ViT-B-33@random", "is not known"),
        ("open_clip/ViT-B-32@no_such_tag", "tags of ViT-B-32 are openai"),
        ("open_clip/roberta-ViT-B-32@random", "name the encoders separately"),
        ("open_clip/coca_ViT-B-32@random", "writes captions as well"),
    ],
)
def test_unsupported_pairs_are_refused(unsupported: str, message: str) -> None:
    with pytest.raises(UserFacingError, match=message):
        pair_spec(unsupported)


def test_random_weights_are_seeded() -> None:
    first, second = (build_pair(CONFIG).state_dict() for _ in range(2))
    for key, value in first.items():
        torch.testing.assert_close(second[key], value)
