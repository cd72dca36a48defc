from pathlib import Path

import pytest

from sports_clip_pipeline.data.flickr8k import list_flickr8k
from sports_clip_pipeline.errors import UserFacingError
from tests.data.factories import flickr8k, token_format, unpacked, zipped


def with_table(tmp_path: Path, text: str, *names: str):
    files = {f"Images/{name}": b"x" for name in names}
    return zipped(tmp_path / "f", {**files, "captions.txt": text.encode()})


def captions_of(archive) -> dict[str, tuple[str, ...]]:
    return {entry.image: entry.captions for entry in list_flickr8k(archive).entries}


@pytest.mark.parametrize("make", [zipped, unpacked])
@pytest.mark.parametrize("wrap", ["", "Flickr8k/"])
def test_csv_format_is_read_packed_unpacked_and_wrapped(tmp_path, make, wrap: str) -> None:
    files = {wrap + name: content for name, content in flickr8k(3).items()}
    listing = list_flickr8k(make(tmp_path / "f", files))
    assert [entry.image for entry in listing.entries] == [f"{k}_abc.jpg" for k in (100, 101, 102)]
    assert listing.entries[0].path == f"{wrap}Images/100_abc.jpg"
    assert listing.entries[0].captions == ("A dog runs .", 'A man , a "ball" and a dog .')
    assert {entry.split for entry in listing.entries} == {""}
    assert listing.rejected == ()


def test_token_format_has_its_published_splits(tmp_path: Path) -> None:
    listing = list_flickr8k(zipped(tmp_path / "f", token_format(4)))
    assert [entry.split for entry in listing.entries] == ["train", "train", "validation", "test"]
    assert listing.entries[1].captions == ('A "dog" , 0 .', 'A "dog" , 1 .')


def test_images_in_no_list_are_for_training_and_unmatched_ones_are_rejected(tmp_path) -> None:
    files = token_format(4)
    files["Flickr_8k.trainImages.txt"] = b"100_abc.jpg\n"
    files["Flickr8k.token.txt"] += b"2258277193_586949ec62.jpg.1#0\tsome people .\n"
    files |= {"Flicker8k_Dataset/b.jpg": b"x", "Flicker8k_Dataset/Thumbs.db": b"x"}
    listing = list_flickr8k(zipped(tmp_path / "f", files))
    assert [entry.split for entry in listing.entries] == ["train", "train", "validation", "test"]
    assert [(item.image, item.reason) for item in listing.rejected] == [
        ("2258277193_586949ec62.jpg.1", "missing"),
        ("b.jpg", "no_caption"),
    ]


def test_unquoted_commas_and_inner_quotes_stay_in_the_caption(tmp_path: Path) -> None:
    text = 'image,caption\na.jpg,A dog , a "cat" , and\na.jpg,"one , ""two"""\n'
    assert captions_of(with_table(tmp_path, text, "a.jpg")) == {
        "a.jpg": ('A dog , a "cat" , and', 'one , "two"')
    }


def test_unclosed_quote_does_not_merge_lines(tmp_path: Path) -> None:
    text = 'image,caption\na.jpg,"A dog runs\nb.jpg,A cat\na.jpg,two , three\n'
    assert captions_of(with_table(tmp_path, text, "a.jpg", "b.jpg")) == {
        "a.jpg": ("A dog runs", "two , three"),
        "b.jpg": ("A cat",),
    }


def test_columns_may_be_in_another_order(tmp_path: Path) -> None:
    text = 'id,caption,image\n1,"A dog , a cat",a.jpg\n'
    assert captions_of(with_table(tmp_path, text, "a.jpg")) == {"a.jpg": ("A dog , a cat",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,text\na.jpg,x\n", "no column 'caption'"),
        ("image,caption\nb.jpg,x\n", r"line 2: names the image b\.jpg, which is not there"),
        ("image,caption\n../a.jpg,x\n", "line 2: .*no path below"),
        ("image,caption\n", "holds no caption"),
    ],
)
def test_malformed_csv_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserFacingError, match=message):
        list_flickr8k(with_table(tmp_path, text, "a.jpg"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Flickr8k.token.txt", b"a.jpg no tab\n", "line 1: is not"),
        ("Flickr8k.token.txt", b"../a.jpg#0\tx\n", "no path below"),
        ("Flickr_8k.devImages.txt", b"999.jpg\n", r"line 1: names 999\.jpg, which has no caption"),
        ("Flickr_8k.devImages.txt", b"100_abc.jpg\n", "which train has too"),
    ],
)
def test_malformed_token_format_is_refused(
    tmp_path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(UserFacingError, match=message):
        list_flickr8k(zipped(tmp_path / "f", {**token_format(4), name: content}))


def test_missing_list_is_refused_if_others_exist(tmp_path: Path) -> None:
    files = token_format(4)
    del files["Flickr_8k.testImages.txt"]
    with pytest.raises(UserFacingError, match=r"testImages\.txt: is missing"):
        list_flickr8k(zipped(tmp_path / "f", files))


def test_archive_in_another_format_is_refused_with_both_formats_named(tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match=r"captions\.txt.*Flickr8k\.token\.txt"):
        list_flickr8k(zipped(tmp_path / "f", {"a/b.jpg": b"x"}))
