"""The sides of the contrastive benchmarks, each a process of its own.

    python benchmarks/contrastive_sides.py SIDE FOLDER [--…]

FOLDER is what `contrastive_corpus.write_corpus` wrote, with a CLIP folder `clip/` in it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from sports_clip_pipeline.data.captions import caption_table
from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig

TEXT_ENCODER, CONTEXT = "minilm", 64


def manifest_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "manifest.parquet")


def embedder_of(folder: Path, encoder: str, backend: str) -> Any:
    """With an empty cache, so that everything is computed, the export to ONNX among it."""
    from sports_clip_pipeline.encoders.embedder import Embedder
    from sports_clip_pipeline.encoders.features import FeatureCache

    config = EmbedConfig(image_encoder=encoder, text_encoder=TEXT_ENCODER, backend=backend)
    return Embedder(config, FeatureCache(folder / "cache"), RunState())


def embed_ours(folder: Path, given: argparse.Namespace) -> None:
    """Embeddings of all images, as the pipeline makes them."""
    from sports_clip_pipeline.clip.folder import read_projections

    embedder = embedder_of(folder, given.encoder, given.backend)
    found = embedder.images("images", ImageStore(folder / "store"), manifest_of(folder))
    np.save(
        folder / "ours.npy", read_projections(folder / "clip").image_embeddings(found["features"])
    )


class Files(torch.utils.data.Dataset):
    """Loose files through open_clip's own transform."""

    def __init__(self, paths: list[Path], transform: Any) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        from PIL import Image

        return self.transform(Image.open(self.paths[index]))


def embed_theirs(folder: Path, given: argparse.Namespace) -> None:
    """The same by open_clip's eager `encode_image` over torch's DataLoader."""
    import open_clip

    torch.set_num_threads(given.threads)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder / 'clip'}")
    model.eval()
    layout = torch.channels_last if given.channels_last else torch.contiguous_format
    model.to(memory_format=layout)
    paths = [folder / "files" / name for name in manifest_of(folder)["image"]][: given.first]
    loader = torch.utils.data.DataLoader(
        Files(paths, transform), batch_size=32, num_workers=given.workers
    )
    with torch.inference_mode():
        rows = [
            model.encode_image(batch.contiguous(memory_format=layout), normalize=True)
            for batch in loader
        ]
    np.save(folder / "theirs.npy", torch.cat(rows).numpy())


def pretrain_ours(folder: Path, given: argparse.Namespace) -> None:
    """Features of images and captions, then projections over the locked encoders."""
    from sports_clip_pipeline.encoders.text_encoders import caption_tokenizer
    from sports_clip_pipeline.training.contrastive import pretrain_projections
    from sports_clip_pipeline.training.image_text_pairs import pairs_of_split

    manifest = manifest_of(folder)
    captions = caption_table(manifest, caption_tokenizer(TEXT_ENCODER, CONTEXT))
    embedder = embedder_of(folder, given.encoder, given.backend)
    image = embedder.images("images", ImageStore(folder / "store"), manifest)["features"]
    text = embedder.captions(list(captions["token_ids"]))["features"]
    pairs = pairs_of_split(image, text, manifest, captions, "train")
    config = PretrainConfig(epochs=given.epochs, batch_size=128)
    start = time.perf_counter()
    pretrain_projections(pairs, lambda projections: {}, config, RunState(), "benchmark")
    per_epoch_s = (time.perf_counter() - start) / given.epochs
    (folder / "ours.json").write_text(json.dumps({"per_epoch_s": per_epoch_s}))


def encoder_pairs(folder: Path, encoder: str) -> tuple[Any, Any]:
    """Pairs whose captions are read from the cache, and the preprocessing of images."""
    from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
    from sports_clip_pipeline.encoders.text_encoders import caption_tokenizer
    from sports_clip_pipeline.training.image_text_pairs import pairs_of_split

    manifest = manifest_of(folder)
    captions = caption_table(manifest, caption_tokenizer(TEXT_ENCODER, CONTEXT))
    text = np.random.default_rng(0).normal(size=(len(captions), 384)).astype(np.float32)
    image = np.zeros((len(manifest), 1280), np.float32)  # not read: the image encoder is unlocked
    store = ImageStore(folder / "store")
    pairs = pairs_of_split(image, text, manifest, captions, "train", store=store)
    return pairs, image_preprocessing(encoder, 224, "full")


def unlocked_training(folder: Path, given: argparse.Namespace) -> Any:
    """Training through the whole image encoder, text features cached."""
    from sports_clip_pipeline.clip.folder import load_clip
    from sports_clip_pipeline.training.contrastive import UnlockedTask
    from sports_clip_pipeline.training.distributed import Compute
    from sports_clip_pipeline.training.trainer import Trainer

    pairs, view = encoder_pairs(folder, given.encoder)
    config = PretrainConfig(
        unlocked_image_blocks=-1, encoder_batch_size=32, encoder_epochs=1, captions_per_image=5
    )
    model = load_clip(folder / "clip").model
    compute = Compute("cpu", "fp32")
    task = UnlockedTask(model, pairs, pairs, lambda *emb: {}, view, config, compute)
    return Trainer(task)


def unlocked_ours(folder: Path, given: argparse.Namespace) -> None:
    """An epoch: every image once, with all its captions; how long the model waits for them."""
    training, waited_s = unlocked_training(folder, given), [0.0]
    read = training.task.batches

    def clocked(*arguments: Any) -> Iterator[Any]:
        steps = read(*arguments)
        while True:
            start = time.perf_counter()
            step = next(steps, None)
            waited_s[0] += time.perf_counter() - start
            if step is None:
                return
            yield step

    training.task.batches = clocked
    training.task.evaluate = lambda model: {}
    start = time.perf_counter()
    training.run_epoch()
    share = waited_s[0] / (time.perf_counter() - start)
    (folder / "stall.json").write_text(json.dumps(share))


def loading_ours(folder: Path, given: argparse.Namespace) -> None:
    """The images of that epoch, read and nothing done with them."""
    task = unlocked_training(folder, given).task
    read_all(task.batches(0, 0), folder / "loading-ours.json")


def read_all(batches: Iterable[Any], told: Path) -> None:
    """Read them and do nothing; the seconds that took to `told`."""
    start = time.perf_counter()
    for _ in batches:
        pass
    told.write_text(json.dumps(time.perf_counter() - start))


class Pairs(torch.utils.data.Dataset):
    """A row a caption: the image is decoded again for each of its five."""

    def __init__(self, folder: Path, transform: Any) -> None:
        self.table, self.transform = pd.read_csv(folder / "pairs.csv"), transform

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        return self.transform(Image.open(self.table["image"][index])), index


def pair_loader(folder: Path, given: argparse.Namespace) -> tuple[Any, Any]:
    import open_clip

    model, transform, _ = open_clip.create_model_and_transforms(f"local-dir:{folder / 'clip'}")
    loader = torch.utils.data.DataLoader(
        Pairs(folder, transform), batch_size=32, shuffle=True, num_workers=given.workers
    )
    return model, loader


def loading_theirs(folder: Path, given: argparse.Namespace) -> None:
    """A loader that decodes for each caption, read and nothing done with it."""
    read_all(pair_loader(folder, given)[1], folder / "loading-theirs.json")


def unlocked_theirs(folder: Path, given: argparse.Namespace) -> None:
    """An epoch over such a loader: open_clip's loss, text features cached."""
    from open_clip.loss import ClipLoss
    from torch.nn import functional

    torch.set_num_threads(given.threads)
    model, loader = pair_loader(folder, given)
    model.train()
    model.text.requires_grad_(False)
    optimizer = torch.optim.AdamW(model.visual.parameters(), lr=1e-4)
    text = functional.normalize(torch.randn(len(loader.dataset), 512), dim=1)
    loss_of = ClipLoss()
    for images, rows in loader:
        embedded = model.encode_image(images, normalize=True)
        loss = loss_of(embedded, text[rows], model.logit_scale.exp())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


SIDES = {
    "embed-ours": embed_ours,
    "embed-theirs": embed_theirs,
    "pretrain-ours": pretrain_ours,
    "loading-ours": loading_ours,
    "loading-theirs": loading_theirs,
    "unlocked-ours": unlocked_ours,
    "unlocked-theirs": unlocked_theirs,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("side", choices=sorted(SIDES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", default="lite2")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--first", type=int, help="so many images, not all")
    parser.add_argument("--channels-last", action="store_true")
    given = parser.parse_args()
    SIDES[given.side](given.folder, given)


if __name__ == "__main__":
    main()
