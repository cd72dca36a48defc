import csv
import io
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from sports_clip_sample import rendering, write_sample
from sports_clip_sample.archives import picture
from sports_clip_sample.plan import TEST, TRAIN, Shot, name_of
from sports_clip_sample.scenes import SPORTS
from tests.sports_clip_sample.conftest import SEED, SIZE


def rows(archive: Path, name: str) -> list[list[str]]:
    with zipfile.ZipFile(archive) as zipped, zipped.open(name) as raw:
        return list(csv.reader(io.TextIOWrapper(raw, "utf-8", newline="")))


def names(archive: Path, folder: str) -> list[str]:
    with zipfile.ZipFile(archive) as zipped:
        return [n.removeprefix(folder) for n in zipped.namelist() if n.startswith(folder)]


def test_flickr8k_has_the_published_format(sample: Path) -> None:
    archive = sample / "flickr8k.zip"
    header, *table = rows(archive, "captions.txt")
    images = names(archive, "Images/")
    assert header == ["image", "caption"]
    assert len(images) == 45
    assert [row[0] for row in table] == [name for name in images for _ in range(5)]
    assert all(caption.strip() for _, caption in table)
    with zipfile.ZipFile(archive) as zipped:
        lines = zipped.read("captions.txt").decode().splitlines()
    quoted = [line for line in lines if ',"' in line]
    assert 0 < len(quoted) < len(lines) / 3, "captions with commas are quoted"


def test_sports_has_the_published_format_without_test_labels(sample: Path) -> None:
    archive = sample / "sports.zip"
    header, *labels = rows(archive, "train_labels.csv")
    test_header, *test = rows(archive, "test_images_list.csv")
    assert (header, test_header) == (["image", "sports"], ["image"])
    assert [image for image, _ in labels] == names(archive, "train/train/")
    assert [image for (image,) in test] == names(archive, "test/test/")
    assert (len(labels), len(test)) == (SIZE, 8)
    assert {label for _, label in labels} == set(SPORTS)


def test_images_are_small_rgb_jpegs(sample: Path) -> None:
    with zipfile.ZipFile(sample / "sports.zip") as zipped:
        for name in zipped.namelist()[:20]:
            with Image.open(io.BytesIO(zipped.read(name))) as image:
                image.load()
                assert (image.format, image.mode) == ("JPEG", "RGB")
                assert 180 <= min(image.size) <= max(image.size) <= 320


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    sample: Path, tmp_path: Path
) -> None:
    write_sample(tmp_path / "again", SIZE, SEED)
    write_sample(tmp_path / "other", SIZE, SEED + 1)
    for archive in ("flickr8k.zip", "sports.zip", "sample.json"):
        first = (sample / archive).read_bytes()
        assert (tmp_path / "again" / archive).read_bytes() == first
        assert (tmp_path / "other" / archive).read_bytes() != first


def test_a_larger_sample_begins_with_the_smaller_one(sample: Path, tmp_path: Path) -> None:
    write_sample(tmp_path, SIZE + 20, SEED)
    for archive in ("flickr8k.zip", "sports.zip"):
        with zipfile.ZipFile(sample / archive) as small, zipfile.ZipFile(tmp_path / archive) as big:
            images = [name for name in small.namelist() if name.endswith(".jpg")]
            assert all(small.read(name) == big.read(name) for name in images)


def test_a_complete_sample_is_kept_and_a_damaged_one_written_again(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("flickr8k.zip", "sports.zip", "sample.json"):
        (tmp_path / name).write_bytes((sample / name).read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "render", lambda *_: pytest.fail("an image was rendered"))
        write_sample(tmp_path, SIZE, SEED)
    assert f"size {SIZE}, seed {SEED}" in capsys.readouterr().err
    (tmp_path / "sports.zip").write_bytes(b"PK")
    write_sample(tmp_path, SIZE, SEED)
    assert (tmp_path / "sports.zip").read_bytes() == (sample / "sports.zip").read_bytes()


def test_an_interrupted_run_leaves_nothing_under_a_final_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, render = [], rendering.render

    def interrupted(*arguments: object) -> Image.Image:
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return render(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rendering, "render", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path, SIZE, SEED)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, -5, 39, 10_000_001, 2.5, True])
def test_a_size_out_of_range_is_an_error(tmp_path: Path, size: int) -> None:
    with pytest.raises(ValueError, match=r"--size: wanted an integer from 40") as caught:
        write_sample(tmp_path / "new", size, 0)
    assert repr(size) in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_a_negative_seed_or_an_unwritable_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--seed"):
        write_sample(tmp_path, 60, -1)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write_sample(tmp_path / "file" / "sample", 60, 0)


def test_flawed_files_have_their_flaw() -> None:
    original = picture(0, Shot(TRAIN, 7))
    assert picture(0, Shot(TRAIN, 8, "exact", (TRAIN, 7))) == original
    assert picture(0, Shot(TRAIN, 8, "near", (TRAIN, 7))) != original
    with Image.open(io.BytesIO(picture(0, Shot(TEST, 1, "turned")))) as turned:
        assert turned.getexif()[0x0112] == 6
    for flaw in ("truncated", "page"):
        with pytest.raises(OSError):
            Image.open(io.BytesIO(picture(0, Shot(TRAIN, 7, flaw)))).load()


def test_names_are_unique_and_safe() -> None:
    every = [name_of(0, Shot(split, i)) for split in (TRAIN, TEST, "flickr8k") for i in range(2000)]
    assert len(set(every)) == len(every)
    assert all(name == Path(name).name and name.endswith(".jpg") for name in every)


def test_the_note_holds_size_seed_and_counts(sample: Path) -> None:
    note = json.loads((sample / "sample.json").read_text())
    expected = {"size": SIZE, "seed": SEED, "train": SIZE, "test": 8, "flickr8k": 45}
    assert expected.items() <= note.items()
