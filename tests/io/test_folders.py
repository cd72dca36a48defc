import base64
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError
from PIL import Image

from sports_clip_pipeline.data.image_store import ImageStore, write_index, write_shard
from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.explainer import Card
from sports_clip_pipeline.io import (
    ArchiveDataset,
    GalleryDataset,
    ImageStoreDataset,
    MovedFolder,
    PredictorFoldersDataset,
    RawFolderDataset,
)
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor
from tests.data.factories import jpeg, unpacked, zipped


def test_archive_is_a_zip_or_a_folder(tmp_path: Path) -> None:
    dataset = ArchiveDataset(filepath=str(tmp_path / "corpus"))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"put corpus\.zip") as raised:
        dataset.load()
    assert isinstance(raised.value.__cause__, UserFacingError)
    unpacked(tmp_path / "corpus", {"a": b"1"})
    assert dataset.exists()
    assert dataset.load().read("a") == b"1"
    zipped(tmp_path / "corpus", {"a": b"2"})
    assert dataset.load().read("a") == b"2"


def test_raw_folder_need_not_exist_and_is_never_saved(tmp_path: Path) -> None:
    dataset = RawFolderDataset(filepath=str(tmp_path / "raw"))
    assert dataset.load() == tmp_path / "raw"
    assert dataset.exists()
    assert not (tmp_path / "raw").exists()
    with pytest.raises(DatasetError, match="never saved"):
        dataset.save("x")


def test_image_store_round_trip(tmp_path: Path) -> None:
    dataset = ImageStoreDataset(filepath=str(tmp_path / "saved"))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="run the ingest pipeline"):
        dataset.load()
    (tmp_path / "work").mkdir()
    shard = write_shard(tmp_path / "work" / "shard-00000.arrow", ["a"], [jpeg(1)])
    write_index(tmp_path / "work", [{**shard, "dropped": []}])
    dataset.save(ImageStore(tmp_path / "work"))
    assert dataset.exists()
    store = dataset.load()
    assert store.path == tmp_path / "saved"
    assert store.get_bytes(0) == jpeg(1)


def predictor(temperature: float) -> Predictor:
    weight = {"weight": np.ones((2, 1280), np.float32), "bias": np.zeros(2, np.float32)}
    head = Head((Operation("affine", weight),))
    encoders = (EncoderInput("lite0", image_preprocessing("lite0", 64, "full"), (), 1280),)
    return Predictor(("a", "b"), encoders, head, temperature)


def test_predictors_are_loaded_by_name_and_others_removed(tmp_path: Path) -> None:
    dataset = PredictorFoldersDataset(filepath=str(tmp_path / "deep" / "predictors"))
    assert not dataset.exists()
    dataset.save({"flyp-0.1-0": lambda: predictor(2.0), "flyp-1-0": lambda: predictor(3.0)})
    temperatures = {name: load().temperature for name, load in dataset.load().items()}
    assert temperatures == {"flyp-0.1-0": 2.0, "flyp-1-0": 3.0}
    notes = tmp_path / "deep" / "predictors" / "notes"
    notes.mkdir()
    dataset.save({"flyp-1-0": lambda: predictor(2.0)})
    assert set(dataset.load()) == {"flyp-1-0"}
    assert notes.is_dir()
    dataset.save({})
    assert dataset.exists()
    assert dataset.load() == {}


def test_moved_folder_replaces_the_former_one_and_an_empty_one_removes_it(tmp_path: Path) -> None:
    dataset = MovedFolder(filepath=str(tmp_path / "out" / "maps"))
    assert not dataset.exists()
    written = tmp_path / "written"
    written.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (written / name).write_bytes(b"x")
        dataset.save(written)
    assert [path.name for path in dataset.load().iterdir()] == ["b.jpg"]
    dataset.save(written)
    assert not dataset.exists()


def coloured(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), colour).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def cards() -> list[Card]:
    image = coloured("red")
    return [
        Card("é.jpg", "chess", "kabaddi", 0.5, question, "GradCAM", image, coloured(colour))
        for question, colour in (("class: chess", "blue"), ("prompt: a photo of chess.", "green"))
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "gallery"


@pytest.fixture
def gallery(folder: Path) -> GalleryDataset:
    return GalleryDataset(filepath=str(folder))


def test_gallery_round_trip_saves_each_distinct_image_once(gallery, cards, folder):
    assert not gallery.exists()
    gallery.save(cards)
    assert gallery.exists() and gallery.load() == cards
    assert len(list(folder.glob("*.jpg"))) == 3
    gallery.save(cards[:1])
    assert gallery.load() == cards[:1]
    assert len(list(folder.glob("*.jpg"))) == 2
    assert list(folder.parent.iterdir()) == [folder]


def test_failed_save_leaves_the_old_gallery(gallery, cards, folder):
    gallery.save(cards)
    with pytest.raises(DatasetError, match="Failed while saving"):
        gallery.save([*cards, dataclasses.replace(cards[0], map_jpeg=None)])
    assert gallery.load() == cards
    assert list(folder.parent.iterdir()) == [folder]
    next(folder.glob("*.jpg")).unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        gallery.load()


@pytest.mark.parametrize("index", ["{", '{"cards": [{}]}', '{"cards": [{"photo_jpeg": 1}]}', "[]"])
def test_damaged_or_unsafe_index_names_the_folder(gallery, cards, folder, index):
    gallery.save(cards)
    (folder.parent / "0123456789abcdef.jpg").write_bytes(coloured("red"))
    entries = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    entries["cards"][0]["photo_jpeg"] = "../0123456789abcdef.jpg"
    for text in (index, json.dumps(entries)):
        (folder / "index.json").write_text(text, encoding="utf-8")
        with pytest.raises(DatasetError, match="gallery: cannot be read"):
            gallery.load()


def test_gallery_preview_is_a_png_with_the_type_that_kedro_viz_expects(gallery, cards):
    gallery.save([])
    assert gallery.load() == [] and gallery.preview() == ""
    gallery.save(cards)
    with Image.open(io.BytesIO(base64.b64decode(gallery.preview()))) as sheet:
        assert sheet.format == "PNG" and sheet.size == (4 * 112, 112)
    assert "ImagePreview" in str(GalleryDataset.preview.__annotations__["return"])
