from __future__ import annotations

import base64
import dataclasses
import io
import json
from pathlib import Path

import pytest
from kedro.io import DatasetError
from PIL import Image

from sports_clip_pipeline.explain.explainer import Card
from sports_clip_pipeline.io import GalleryDataset


def picture(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), colour).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def cards() -> list[Card]:
    photo = picture("red")
    return [
        Card("é.jpg", "chess", "kabaddi", 0.5, question, "GradCAM", photo, picture(colour))
        for question, colour in (("class: chess", "blue"), ("prompt: a photo of chess.", "green"))
    ]


@pytest.fixture
def gallery(tmp_path: Path) -> GalleryDataset:
    return GalleryDataset(filepath=str(tmp_path / "deep" / "gallery"))


def test_what_is_saved_is_loaded(gallery, cards):
    assert not gallery.exists()
    gallery.save(cards)
    assert gallery.exists() and gallery.load() == cards


def test_a_picture_that_is_shared_is_kept_once(gallery, cards, tmp_path):
    gallery.save(cards)
    assert len(list((tmp_path / "deep" / "gallery").glob("*.jpg"))) == 3


def test_a_new_gallery_leaves_nothing_of_the_old_one(gallery, cards, tmp_path):
    gallery.save(cards)
    gallery.save(cards[:1])
    assert gallery.load() == cards[:1]
    assert len(list((tmp_path / "deep" / "gallery").glob("*.jpg"))) == 2
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["gallery"]


def test_a_failed_save_leaves_the_old_gallery(gallery, cards, tmp_path):
    gallery.save(cards)
    broken = [*cards, dataclasses.replace(cards[0], mime="image/gif")]
    with pytest.raises(DatasetError, match="image/jpeg alone"):
        gallery.save(broken)
    assert gallery.load() == cards
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["gallery"]


def test_an_index_that_points_out_of_the_folder_is_refused(gallery, cards, tmp_path):
    gallery.save(cards)
    index = tmp_path / "deep" / "gallery" / "index.json"
    (tmp_path / "deep" / "0123456789abcdef.jpg").write_bytes(picture("red"))
    entries = json.loads(index.read_text(encoding="utf-8"))
    entries["cards"][0]["photo_jpeg"] = "../0123456789abcdef.jpg"
    index.write_text(json.dumps(entries), encoding="utf-8")
    with pytest.raises(DatasetError, match="no picture of a gallery"):
        gallery.load()


@pytest.mark.parametrize("damage", ["{", '{"cards": [{}]}', '{"cards": [{"photo_jpeg": 1}]}', "[]"])
def test_a_damaged_index_is_an_error_that_names_the_folder(gallery, cards, tmp_path, damage):
    gallery.save(cards)
    (tmp_path / "deep" / "gallery" / "index.json").write_text(damage)
    with pytest.raises(DatasetError, match="gallery: cannot be read"):
        gallery.load()


def test_a_missing_picture_is_an_error(gallery, cards, tmp_path):
    gallery.save(cards)
    next((tmp_path / "deep" / "gallery").glob("*.jpg")).unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        gallery.load()


def test_the_preview_is_a_picture_of_the_pairs_under_the_name_that_viz_knows(gallery, cards):
    gallery.save(cards)
    with Image.open(io.BytesIO(base64.b64decode(gallery.preview()))) as sheet:
        assert sheet.format == "PNG" and sheet.size == (4 * 112, 112)
    assert "ImagePreview" in str(GalleryDataset.preview.__annotations__["return"])


def test_an_empty_gallery_can_be_saved_and_previewed(gallery):
    gallery.save([])
    assert gallery.load() == [] and gallery.preview() == ""
