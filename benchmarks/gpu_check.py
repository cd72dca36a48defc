"""The tests that need a CUDA device, and how fast it trains: writes benchmarks/results/gpu.md.

    python benchmarks/gpu_check.py

Training through unlocked encoders with random weights, the notebook's (ResNet-50 and DistilBERT,
under linear projections and InfoNCE) and ViT-B/32: pairs a second, and the share of the device's
peak that the encoders' matrix products and convolutions come to, beside open_clip's trainer at the
same batch, precision and size (synthetic pictures there, decoded ones here).
Without a CUDA device it says so and ends.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from contrastive_corpus import write_corpus
from contrastive_sides import manifest_of
from torch.utils.flop_counter import FlopCounterMode

from sports_clip_pipeline.clip.model import build_clip
from sports_clip_pipeline.clip.projections import Projections, identity_projections
from sports_clip_pipeline.data.captions import caption_table
from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.encoders.image_encoders import image_encoder, image_preprocessing
from sports_clip_pipeline.encoders.text_encoders import caption_tokenizer, text_encoder_spec
from sports_clip_pipeline.encoders.weights import is_pair
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.training.contrastive import UnlockedTask
from sports_clip_pipeline.training.distributed import choose_compute
from sports_clip_pipeline.training.image_text_pairs import pairs_of_split
from sports_clip_pipeline.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "benchmarks/results/gpu.md"
# Dense 16-bit peak of a device, 10¹² operations a second: the makers' data sheets.
PEAKS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0, "T4": 65.0}
DISTILBERT = {
    "model_type": "distilbert", "vocab_size": 30522, "dim": 768, "n_layers": 6, "n_heads": 12,
    "hidden_dim": 3072, "max_position_embeddings": 512, "pad_token_id": 0,
}  # fmt: skip
WARM_STEPS = 5


@dataclass(frozen=True)
class Recipe:
    """Towers, and the name of a model of about the same in open_clip's own trainer."""

    name: str
    image_encoder: str
    text_encoder: str
    context_length: int
    theirs: str


def projections_of(recipe: Recipe) -> Projections:
    """Random ones; none for a pair."""
    widths = image_encoder(recipe.image_encoder).width, text_encoder_spec(recipe.text_encoder).width
    if is_pair(recipe.image_encoder):
        return identity_projections(widths[0], 2.66, None)
    rng = np.random.default_rng(0)
    image, text = (rng.normal(0, 0.05, (256, width)).astype(np.float32) for width in widths)
    return Projections(image, np.zeros(256, np.float32), text, 2.66)


def training_of(recipe: Recipe, folder: Path, given: argparse.Namespace) -> Trainer:
    """Everything unlocked, one caption an image."""
    manifest = manifest_of(folder)
    captions = caption_table(
        manifest, caption_tokenizer(recipe.text_encoder, recipe.context_length)
    )
    nothing = np.zeros((len(manifest), 1), np.float32), np.zeros((len(captions), 1), np.float32)
    store = ImageStore(folder / "store")
    pairs = pairs_of_split(*nothing, manifest, captions, "train", store=store)
    view = image_preprocessing(recipe.image_encoder, 224, "full")
    encoders = recipe.image_encoder, recipe.text_encoder, view, recipe.context_length
    pair = is_pair(recipe.image_encoder)
    config = PretrainConfig(
        projections="none" if pair else "linear", epochs=0, captions_per_image=1,
        unlocked_image_blocks=-1, unlocked_text_blocks=-1, encoder_batch_size=given.batch,
        encoder_epochs=100,
    )  # fmt: skip
    compute = choose_compute(given.device, "auto", given.compiled)
    model = build_clip(projections_of(recipe), *encoders)
    task = UnlockedTask(model, pairs, pairs, lambda *emb: {}, view, config, compute)
    return Trainer(task)


def measured(training: Trainer, steps: int) -> tuple[float, float]:
    """Pairs a second, and floating-point operations of a pair, forward and backward."""
    times: list[float] = []

    def after(loss: torch.Tensor) -> bool:
        float(loss)  # waits for the device
        times.append(time.perf_counter())
        return len(times) >= WARM_STEPS + steps

    while len(times) < WARM_STEPS + steps:
        training.run_epoch(after)
    per_step_s = (times[-1] - times[WARM_STEPS - 1]) / (len(times) - WARM_STEPS)
    return training.task.config.encoder_batch_size / per_step_s, operations_of_a_pair(training)


def operations_of_a_pair(training: Trainer) -> float:
    """Counted on four pairs, three times the forward pass, by torch's own counter."""
    device = training.task.compute.device
    pixels = torch.zeros(4, 3, 224, 224, device=device)
    length = max(len(ids) for ids in training.task.train.token_ids)
    ids = torch.ones(4, length, dtype=torch.int64, device=device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        training.model.visual(pixels)
        training.model.text(ids)
    return 3.0 * counter.get_total_flops() / 4


def theirs_per_s(recipe: Recipe, given: argparse.Namespace, folder: Path) -> float | None:
    """Pairs a second of open_clip's trainer on synthetic pairs, by its own log; None if none."""
    precision = "amp_bf16" if given.device == "cuda" else "fp32"
    command = [
        sys.executable, "-m", "open_clip_train.main", "--dataset-type", "synthetic",
        "--train-num-samples", given.batch * (WARM_STEPS + given.steps), "--model", recipe.theirs,
        "--batch-size", given.batch, "--epochs", 1, "--workers", 8, "--precision", precision,
        "--device", given.device, "--logs", folder / "logs", "--save-frequency", 0,
        "--log-every-n-steps", 1,
    ]  # fmt: skip
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"open_clip's trainer failed: {done.stderr[-500:]}", file=sys.stderr)
    rates = [float(rate) for rate in re.findall(r"([\d.]+)/s, [\d.]+/s/gpu", done.stderr)]
    return float(np.median(rates[WARM_STEPS:])) if len(rates) > WARM_STEPS else None


def recipes(folder: Path) -> list[Recipe]:
    """The notebook's and ViT-B/32, with random weights."""
    text = folder / "distilbert"
    text.mkdir()
    (text / "config.json").write_text(json.dumps(DISTILBERT))
    minilm = text_encoder_spec("minilm").folder
    (text / "tokenizer.json").write_bytes((minilm / "tokenizer.json").read_bytes())
    return [
        Recipe("ResNet-50 + DistilBERT", "timm/resnet50@random", f"hf/{text}@random", 64, "RN50"),
        Recipe(
            "ViT-B/32", "open_clip/ViT-B-32@random", "open_clip/ViT-B-32@random", 77, "ViT-B-32"
        ),
    ]


def peak_of(device: str) -> tuple[str, float | None]:
    """The device's name and its peak, if it is known."""
    if device != "cuda":
        return "the CPU", None
    name = torch.cuda.get_device_name()
    return name, next((peak for key, peak in PEAKS.items() if key in name), None)


def table(folder: Path, given: argparse.Namespace) -> list[str]:
    device, peak = peak_of(given.device)
    lines = [
        f"On {device}, batches of {given.batch}, {given.steps} steps after {WARM_STEPS}.\n",
        "| recipe | pairs/s | of the peak | open_clip's trainer, pairs/s | ratio |",
        "|---|---|---|---|---|",
    ]
    for recipe in recipes(folder):
        rate, operations = measured(training_of(recipe, folder, given), given.steps)
        share = "–" if peak is None else f"{rate * operations / (peak * 1e12):.1%}"
        other = theirs_per_s(recipe, given, folder)
        beside = "– | –" if other is None else f"{other:.0f} | {rate / other:.2f}"
        named = recipe.name + (f" (theirs {recipe.theirs})" if recipe.theirs == "RN50" else "")
        lines.append(f"| {named} | {rate:.0f} | {share} | {beside} |")
        print(lines[-1], flush=True)
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--batch", type=int, default=256, help="pairs a step (default: 256)")
    parser.add_argument("--steps", type=int, default=30, help="timed steps (default: 30)")
    parser.add_argument("--images", type=int, default=2048, help="(default: 2048)")
    parser.add_argument("--compiled", choices=("auto", "on", "off"), default="auto")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here: nothing was checked")
        return 0
    tests = 0
    if given.device == "cuda":
        tests = subprocess.call([sys.executable, "-m", "pytest", "-q", "-m", "gpu"], cwd=ROOT)
    with tempfile.TemporaryDirectory() as place:
        lines = table(write_corpus(Path(place) / "corpus", None, given.images), given)
    PAGE.parent.mkdir(exist_ok=True)
    told = "pass" if tests == 0 else f"**fail** (pytest ended with status {tests})"
    PAGE.write_text("\n".join(["# On a GPU\n", f"Tests that need one: {told}.\n", *lines, ""]))
    print(PAGE)
    return tests


if __name__ == "__main__":
    sys.exit(main())
