from pathlib import Path

import pytest
import torch

from sports_clip_pipeline.data.captions import pad
from sports_clip_pipeline.encoders import text_encoders
from sports_clip_pipeline.encoders.text_encoders import caption_tokenizer
from sports_clip_pipeline.errors import UserFacingError
from tests.encoders.factories import write_text_encoder


def test_pooled_text_features_ignore_the_padding() -> None:
    encoder = text_encoders.PooledTextEncoder(text_encoders.load_text_encoder("minilm")).eval()
    short, long = caption_tokenizer("minilm", 64)(
        ["a man bowls", "two teams in red play kabaddi on a mat in a full hall"]
    ).ids
    with torch.inference_mode():
        both = encoder(*map(torch.from_numpy, pad([short, long])))
        alone = encoder(*map(torch.from_numpy, pad([short])))
    torch.testing.assert_close(both[:1], alone, atol=1e-5, rtol=1e-4)
    assert both.shape == (2, text_encoders.text_encoder_spec("minilm").width)


def test_sentences_of_similar_meaning_have_similar_features() -> None:
    encoder = text_encoders.PooledTextEncoder(text_encoders.load_text_encoder("minilm")).eval()
    ids = caption_tokenizer("minilm", 64)(
        ["a man swims in a pool", "a swimmer in the water", "a chess board on a table"]
    ).ids
    with torch.inference_mode():
        emb = torch.nn.functional.normalize(encoder(*map(torch.from_numpy, pad(ids))), dim=1)
    cosine = emb @ emb.T
    assert float(cosine[0, 1]) > float(cosine[0, 2]) + 0.2


def test_unknown_encoders_are_refused_with_suggestions() -> None:
    with pytest.raises(UserFacingError, match=r"text encoder 'bert'.*minilm"):
        text_encoders.text_encoder_spec("bert")


@pytest.mark.parametrize(
    ("kind", "prefix"), [("distilbert", ""), ("distilbert", "distilbert."), ("bert", "")]
)
def test_a_hugging_face_folder_is_a_text_encoder(tmp_path: Path, kind: str, prefix: str) -> None:
    name = f"hf/{write_text_encoder(tmp_path, kind, prefix)}"
    ids = caption_tokenizer(name, 16)(["a dog runs", "a man in red"]).ids
    encoder = text_encoders.PooledTextEncoder(text_encoders.load_text_encoder(name)).eval()
    with torch.inference_mode():
        found = encoder(*map(torch.from_numpy, pad(ids)))
    assert found.shape == (2, text_encoders.text_encoder_spec(name).width)
    assert float((found[0] - found[1]).abs().max()) > 1e-3


def test_layer_norms_named_gamma_and_beta_are_loaded(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_text_encoder(tmp_path, "bert")
    weights = load_file(folder / "model.safetensors")
    assert any(key.startswith("pooler.") for key in weights)
    old = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): v
        for key, v in weights.items()
    }
    save_file(old, folder / "model.safetensors")
    found = text_encoders.load_text_encoder(f"hf/{folder}").state_dict()
    key = "embeddings.LayerNorm.weight"
    torch.testing.assert_close(found[key], weights[key])


def test_missing_weights_are_refused_with_their_count(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_text_encoder(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights.pop("embeddings.word_embeddings.weight")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UserFacingError, match=r"1 missing \(embeddings\.word_embeddings\.weight"):
        text_encoders.load_text_encoder(f"hf/{folder}")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = write_text_encoder(tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserFacingError, match=r"tokenizer\.json: is missing"):
        text_encoders.text_encoder_spec(f"hf/{folder}")


def test_a_name_without_a_folder_is_looked_up_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        UserFacingError, match=r"nobody/nothing/config\.json on the hub.*local file"
    ):
        text_encoders.text_encoder_spec("hf/nobody/nothing")
