"""A small captioned corpus of drawn scenes, with features of packaged encoders at 64 pixels."""

import csv
import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pandas as pd
import torch
from safetensors.torch import save_file

from sports_clip_pipeline.clip.model import build_clip
from sports_clip_pipeline.clip.projections import Projections
from sports_clip_pipeline.data.captions import pad
from sports_clip_pipeline.data.image_store import ImageStore, write_index, write_shard
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders.image_encoders import (
    image_preprocessing,
    load_image_encoder,
    pooled_features,
)
from sports_clip_pipeline.encoders.text_encoders import (
    PooledTextEncoder,
    caption_tokenizer,
    load_text_encoder,
)
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.training.contrastive import EvaluateEmbeddings, UnlockedTask
from sports_clip_pipeline.training.distributed import CPU, SINGLE_PROCESS, Compute, Processes
from sports_clip_pipeline.training.image_text_pairs import ImageTextPairs, pairs_of_split
from sports_clip_sample import write_sample

TRAIN, VALIDATION, SPACE, CONTEXT = 10, 4, 16, 32
# The last block of either encoder, a few steps.
ONE_BLOCK = PretrainConfig(
    unlocked_image_blocks=1,
    unlocked_text_blocks=1,
    encoder_epochs=3,
    encoder_batch_size=5,
    encoder_peak_lr=1e-3,
    captions_per_image=2,
    precision="fp32",
    device="cpu",
)


@dataclass(frozen=True)
class Corpus:
    """Inputs of training unlocked encoders."""

    store: ImageStore
    manifest: pd.DataFrame
    captions: pd.DataFrame
    image: np.ndarray
    text: np.ndarray
    preprocessing: ImageTransform
    encoders: tuple[str, str] = ("lite0", "minilm")
    context_length: int = CONTEXT

    @property
    def recipe(self) -> dict[str, Any]:
        """What `build_clip` takes beside projections."""
        return {
            "image_encoder": self.encoders[0],
            "text_encoder": self.encoders[1],
            "preprocessing": self.preprocessing,
            "context_length": self.context_length,
        }

    def task(
        self,
        config: PretrainConfig = ONE_BLOCK,
        evaluate: EvaluateEmbeddings = lambda *_: {},
        start: Projections | None = None,
        compute: Compute = CPU,
        processes: Processes = SINGLE_PROCESS,
        steps_before: int = 0,
    ) -> UnlockedTask:
        """Training from these projections, or from random ones."""
        model = build_clip(start or random_projections(self), **self.recipe)
        pairs = self.pairs("train"), self.pairs("validation")
        given = self.preprocessing, config, compute, processes, steps_before
        return UnlockedTask(model, *pairs, evaluate, *given)

    def pairs(self, split: str) -> ImageTextPairs:
        tables = self.image, self.text, self.manifest, self.captions
        return pairs_of_split(*tables, split, store=self.store)


def make_corpus(raw: Path) -> Corpus:
    """Images with five captions each: 10 to train on, 4 to validate; made once in a folder."""
    made = raw / "corpus.pickle"
    if made.exists():
        return replace(pickle.loads(made.read_bytes()), store=ImageStore(raw / "store"))
    write_sample(raw, 60, 3)
    with zipfile.ZipFile(raw / "flickr8k.zip") as archive:
        lines = list(csv.DictReader(io.StringIO(archive.read("captions.txt").decode())))
        names = list(dict.fromkeys(line["image"] for line in lines))[: TRAIN + VALIDATION]
        jpegs = [archive.read(f"Images/{name}") for name in names]
    store = _store(raw / "store", names, jpegs)
    splits = ["train"] * TRAIN + ["validation"] * VALIDATION
    captions = _captions([line for line in lines if line["image"] in names], names, splits)
    view = image_preprocessing("lite0", 64, "full")
    image = pooled_features(
        load_image_encoder("lite0"), view.normalise([view.crop(store.get(i)) for i in range(14)])
    )
    ids, mask = (torch.from_numpy(block) for block in pad(list(captions["token_ids"])))
    with torch.inference_mode():
        text = PooledTextEncoder(load_text_encoder("minilm"))(ids, mask).numpy()
    digests = [hashlib.sha256(store.get_bytes(i)).hexdigest() for i in range(len(store))]
    manifest = pd.DataFrame({"image": names, "split": splits, "stored_sha256": digests})
    corpus = Corpus(store, manifest, captions, image, text, view)
    made.write_bytes(pickle.dumps(replace(corpus, store=None)))
    return corpus


def write_pair(folder: Path) -> str:
    """A tiny pair of open_clip's with random weights, as its name."""
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
    image = {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 16}
    model = {"embed_dim": SPACE, "vision_cfg": image, "text_cfg": text}
    folder.mkdir()
    torch.manual_seed(3)
    save_file(
        open_clip.CustomTextCLIP(**model).state_dict(), folder / "open_clip_model.safetensors"
    )
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}))
    return f"open_clip/tiny@{folder}"


def of_pair(corpus: Corpus, name: str) -> Corpus:
    """The corpus with the features of one of open_clip's pairs."""
    view = image_preprocessing(name, 32, "full")
    pixels = view.normalise([view.crop(corpus.store.get(i)) for i in range(len(corpus.store))])
    ids = caption_tokenizer(name, 77)(list(corpus.captions["text"])).ids
    block = torch.from_numpy(np.stack(ids)).long()
    with torch.inference_mode():
        text = load_text_encoder(name)(block, torch.ones_like(block)).numpy()
    return replace(
        corpus, captions=corpus.captions.assign(token_ids=ids), text=text, encoders=(name, name),
        image=pooled_features(load_image_encoder(name), pixels), preprocessing=view,
        context_length=77,
    )  # fmt: skip


def random_projections(corpus: Corpus) -> Projections:
    """Random projections to a small space."""
    rng = np.random.default_rng(0)
    return Projections(
        image_weight=rng.normal(0, 0.05, (SPACE, corpus.image.shape[1])).astype(np.float32),
        image_bias=np.zeros(SPACE, np.float32),
        text_weight=rng.normal(0, 0.2, (SPACE, corpus.text.shape[1])).astype(np.float32),
        logit_scale=2.5,
    )


def _store(folder: Path, names: list[str], jpegs: list[bytes]) -> ImageStore:
    folder.mkdir()
    shard = write_shard(folder / "shard-00000.arrow", names, jpegs)
    write_index(folder, [{**shard, "dropped": []}])
    return ImageStore(folder)


def _captions(lines: list[dict[str, str]], names: list[str], splits: list[str]) -> pd.DataFrame:
    rows = [names.index(line["image"]) for line in lines]
    tokens = caption_tokenizer("minilm", CONTEXT)([line["caption"] for line in lines])
    return pd.DataFrame(
        {
            "image_row": rows,
            "text": [line["caption"] for line in lines],
            "split": [splits[row] for row in rows],
            "token_ids": [ids.tolist() for ids in tokens.ids],
        }
    )
