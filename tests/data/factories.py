"""Small corpora for tests, in all formats, with images that differ."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sports_clip_pipeline.data.archives import Archive
from tests.data.conftest import make_zip

Files = dict[str, bytes]


def random_image(seed: int, width: int = 64, height: int = 48) -> Image.Image:
    """A smooth random image; those of two seeds are no near duplicates."""
    blocks = np.random.default_rng(seed).integers(0, 256, (9, 10, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, image_format: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def jpeg(seed: int, width: int = 64, height: int = 48) -> bytes:
    return encoded(random_image(seed, width, height), quality=90)


def zipped(path: Path, files: Files) -> Archive:
    """`path`.zip with these files, opened."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.zip").write_bytes(make_zip(files))
    return Archive.open(path)


def unpacked(path: Path, files: Files) -> Archive:
    """The folder `path` with these files, opened."""
    for name, content in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return Archive.open(path)


def flickr8k(images: int, first_seed: int = 0) -> Files:
    """The format with `captions.txt`, two captions per image."""
    names = [f"{100 + k}_abc.jpg" for k in range(images)]
    lines = ["image,caption"]
    for name in names:
        lines += [f"{name},A dog runs .", f'{name},"A man , a ""ball"" and a dog ."']
    files = {f"Images/{name}": jpeg(first_seed + k) for k, name in enumerate(names)}
    return {**files, "captions.txt": "\n".join(lines).encode()}


def token_format(images: int, first_seed: int = 0) -> Files:
    """The format with `Flickr8k.token.txt` and the lists: the last two images are held out."""
    names = [f"{100 + k}_abc.jpg" for k in range(images)]
    tokens = "".join(f'{name}#{k}\tA "dog" , {k} .\n' for name in names for k in range(2))
    files = {f"Flicker8k_Dataset/{name}": jpeg(first_seed + k) for k, name in enumerate(names)}
    lists = {"train": names[:-2], "dev": names[-2:-1], "test": names[-1:]}
    for split, members in lists.items():
        files[f"Flickr_8k.{split}Images.txt"] = "\n".join(members).encode()
    return {**files, "Flickr8k.token.txt": tokens.encode()}


def kaggle(labels: dict[str, int], tests: int, first_seed: int = 1000) -> Files:
    """The Kaggle format: `labels` images per class, `tests` test images."""
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
