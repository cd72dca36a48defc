"""Small corpora for tests: pictures that differ, in the published forms."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sports_clip_pipeline.data.archives import Archive

Files = dict[str, bytes]


def picture(seed: int, width: int = 64, height: int = 48) -> Image.Image:
    """A smooth random picture; two seeds are far apart for a difference hash."""
    blocks = np.random.default_rng(seed).integers(0, 256, (9, 10, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def jpeg(seed: int, width: int = 64, height: int = 48) -> bytes:
    return encoded(picture(seed, width, height), quality=90)


def zipped(place: Path, files: Files) -> Archive:
    """`place`.zip with these files, opened."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(place.with_name(place.name + ".zip"), "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # a fixed date
    return Archive.open(place)


def unpacked(place: Path, files: Files) -> Archive:
    """The folder `place` with these files, opened."""
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Archive.open(place)


def flickr8k(images: int, first_seed: int = 0) -> Files:
    """The form with `captions.txt`, two captions an image."""
    names = [f"{100 + k}_abc.jpg" for k in range(images)]
    lines = ["image,caption"]
    for name in names:
        lines += [f"{name},A dog runs .", f'{name},"A man , a ""ball"" and a dog ."']
    files = {f"Images/{name}": jpeg(first_seed + k) for k, name in enumerate(names)}
    return {**files, "captions.txt": "\n".join(lines).encode()}


def token_form(images: int, first_seed: int = 0) -> Files:
    """The form with `Flickr8k.token.txt` and the published lists: the last two are held out."""
    names = [f"{100 + k}_abc.jpg" for k in range(images)]
    tokens = "".join(f'{name}#{k}\tA "dog" , {k} .\n' for name in names for k in range(2))
    files = {f"Flicker8k_Dataset/{name}": jpeg(first_seed + k) for k, name in enumerate(names)}
    lists = {"train": names[:-2], "dev": names[-2:-1], "test": names[-1:]}
    for split, members in lists.items():
        files[f"Flickr_8k.{split}Images.txt"] = "\n".join(members).encode()
    return {**files, "Flickr8k.token.txt": tokens.encode()}


def kaggle(labels: dict[str, int], tests: int, first_seed: int = 1000) -> Files:
    """The Kaggle form: `labels` images a class, `tests` test images."""
    files: Files = {}
    rows, seed = ["image,sports"], first_seed
    for label, count in labels.items():
        for _ in range(count):
            files[f"train/train/{seed}.jpg"] = jpeg(seed)
            rows.append(f"{seed}.jpg,{label}")
            seed += 1
    names = [f"{seed + k}.jpg" for k in reversed(range(tests))]
    files |= {f"test/test/{name}": jpeg(int(name[:-4])) for name in names}
    files["train_labels.csv"] = "\n".join(rows).encode()
    files["test_images_list.csv"] = "\n".join(["image", *names]).encode()
    return files
