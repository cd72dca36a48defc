import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from sports_clip_pipeline.data.image_store import ImageStore, write_index, write_shard
from sports_clip_sample import write_sample

COUNT = 6


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Image.Image]:
    """Six drawn sports scenes."""
    out = tmp_path_factory.mktemp("pictures")
    write_sample(out, 60, 3)
    with zipfile.ZipFile(out / "sports.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.lower().endswith((".jpg", ".jpeg")))
        found = []
        for name in names:
            try:
                found.append(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
            except OSError:  # the sample has broken files on purpose
                continue
            if len(found) == COUNT:
                return found
    raise AssertionError("the sample has too few pictures")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, pictures: list[Image.Image]) -> ImageStore:
    """The six scenes as a store of one shard."""
    folder = tmp_path_factory.mktemp("store")
    jpegs = []
    for picture in pictures:
        sink = io.BytesIO()
        picture.save(sink, "JPEG", quality=95)
        jpegs.append(sink.getvalue())
    names = [f"{i}.jpg" for i in range(COUNT)]
    shard = write_shard(folder / "shard-00000.arrow", names, jpegs)
    write_index(folder, [{**shard, "dropped": []}])
    return ImageStore(folder)


@pytest.fixture(scope="session")
def onnx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of exported encoders for the session."""
    return tmp_path_factory.mktemp("onnx")
