"""Kaggle with a stand-in for kagglehub, and kagglehub itself where it needs no network."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from kagglehub.exceptions import (
    DataCorruptionError,
    KaggleApiHTTPError,
    UnauthenticatedError,
)
from kagglesdk import kaggle_env

from sports_clip_pipeline.data.kaggle import PUBLISHED_FORM, fetch_competition
from sports_clip_pipeline.errors import UserFacingError
from tests.data.conftest import make_zip
from tests.data.faulty_server import Fault, FaultyServer

PAGE = "https://www.kaggle.com/competitions/some-sports"


class FakeKaggle:
    """Raises the given errors in turn, then lays the files of the competition down."""

    def __init__(self, *errors: Exception, names: tuple[str, ...] = PUBLISHED_FORM) -> None:
        self.errors, self.names, self.calls = list(errors), names, []

    def competition_download(self, handle: str) -> str:
        self.calls.append((handle, os.environ.get("KAGGLEHUB_CACHE")))
        if self.errors:
            raise self.errors.pop(0)
        folder = Path(os.environ["KAGGLEHUB_CACHE"]) / "competitions" / handle
        return str(lay_down(folder, self.names))


def lay_down(folder: Path, names: tuple[str, ...] = PUBLISHED_FORM) -> Path:
    """Files and folders of these names."""
    for name in names:
        place = folder / name / "a.jpg" if "." not in name else folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("x")
    return folder


def fetch(tmp_path: Path, client: object, **more: object) -> None:
    fetch_competition("some-sports", tmp_path, tmp_path / "sports", client=client, **more)


def answered(status: int) -> KaggleApiHTTPError:
    """What kagglehub raises for an HTTP status."""
    response = requests.Response()
    response.status_code = status
    return KaggleApiHTTPError(f"{status} Client Error.\n\nSee the rules", response=response)


def refusal(tmp_path: Path, error: Exception) -> str:
    """The line that a user reads when kagglehub raises `error`."""
    with pytest.raises(UserFacingError) as caught:
        fetch(tmp_path, FakeKaggle(error))
    assert not (tmp_path / "sports").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_files_end_up_in_the_raw_folder_and_the_cache_is_gone(tmp_path, monkeypatch):
    monkeypatch.delenv("KAGGLEHUB_CACHE", raising=False)
    client = FakeKaggle()
    fetch(tmp_path, client)
    assert all((tmp_path / "sports" / name).exists() for name in PUBLISHED_FORM)
    assert client.calls == [("some-sports", str(tmp_path / "downloads" / "kagglehub"))]
    assert "KAGGLEHUB_CACHE" not in os.environ
    assert not (tmp_path / "downloads" / "kagglehub").exists()


def test_a_cache_of_the_users_own_is_named_again_afterwards(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLEHUB_CACHE", "/somewhere")
    fetch(tmp_path, FakeKaggle())
    assert os.environ["KAGGLEHUB_CACHE"] == "/somewhere"


def test_files_mounted_elsewhere_are_copied(tmp_path):
    class Mounted:
        def competition_download(self, handle: str) -> str:
            return str(lay_down(tmp_path / "mounted"))

    fetch(tmp_path, Mounted())
    assert (tmp_path / "sports" / "train_labels.csv").exists()
    assert (tmp_path / "mounted" / "train_labels.csv").exists()


def test_rules_not_accepted_names_the_page_to_accept_them(tmp_path):
    line = refusal(tmp_path, answered(403))
    assert line.startswith(f"{PAGE}: Kaggle refused access (403)")
    assert f"accept them in the browser at {PAGE}/rules" in line


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (answered(401), ("refused the credentials (401)", "make a new token")),
        (answered(404), ("no such competition (404)", "download.sports_competition")),
        (answered(429), ("wants a pause (429)", "in some minutes")),
        (answered(500), ("Kaggle answered 500", "later")),
        (UnauthenticatedError(), ("no usable Kaggle credentials", "~/.kaggle/kaggle.json")),
        (ValueError("Invalid Kaggle credentials file at x"), ("file at x", "KAGGLE_API_TOKEN")),
        (requests.ConnectionError("no route"), ("cannot be reached", "check the network")),
        (requests.Timeout("slow"), ("cannot be reached", "check the network")),
        (DataCorruptionError("md5"), ("is damaged", "run again")),
        (ValueError("Unsupported archive type."), ("is damaged", "run again")),
    ],
)
def test_each_failure_is_one_line_with_remedy_and_the_way_by_hand(tmp_path, error, parts):
    line = refusal(tmp_path, error)
    by_hand = (f"{PAGE}/data", str(tmp_path / "sports.zip"), "train/train/*.jpg")
    for part in (*parts, *by_hand, "train_labels.csv", "test/test/*.jpg", "test_images_list.csv"):
        assert part in line


def test_a_broken_network_is_tried_again(tmp_path):
    client = FakeKaggle(requests.ConnectionError(), requests.Timeout())
    fetch(tmp_path, client, attempts=3, backoff_s=0.01)
    assert len(client.calls) == 3
    assert (tmp_path / "sports").exists()


def test_a_refusal_is_not_tried_again(tmp_path):
    client = FakeKaggle(answered(403))
    with pytest.raises(UserFacingError):
        fetch(tmp_path, client, attempts=3)
    assert len(client.calls) == 1


def test_other_failures_are_not_dressed_up(tmp_path):
    with pytest.raises(PermissionError):
        fetch(tmp_path, FakeKaggle(PermissionError(13, "Permission denied", "x")))


def test_files_in_another_form_are_not_taken(tmp_path):
    client = FakeKaggle(names=("train", "labels.csv"))
    with pytest.raises(UserFacingError, match=r"no train_labels\.csv and no test and no"):
        fetch(tmp_path, client)
    assert not (tmp_path / "sports").exists()


def test_kagglehub_itself_without_credentials_ends_in_one_line(tmp_path, monkeypatch):
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserFacingError, match="no usable Kaggle credentials"):
        fetch(tmp_path, None)


@pytest.fixture
def kaggle_server(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """The local server in the place of Kaggle's, for kagglehub itself."""
    local = kaggle_env.KaggleEnv.LOCAL
    monkeypatch.setitem(kaggle_env._env_to_endpoint, local, server.url("").rstrip("/"))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "some-token")
    yield server
    gc.collect()  # kagglehub leaves its sockets to the collector, which warns


careless_about_sockets = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
DOWNLOAD = "/api/v1/competitions.CompetitionApiService/DownloadDataFiles"


@careless_about_sockets
@pytest.mark.parametrize("status", [401, 403, 404])
def test_kagglehub_itself_reports_a_refusal_as_we_expect(kaggle_server, tmp_path, status):
    kaggle_server.serve(DOWNLOAD, b"", always=Fault(status=status))
    with pytest.raises(UserFacingError, match=rf"\({status}\)"):
        fetch(tmp_path, None)


@careless_about_sockets
def test_kagglehub_itself_is_called_again_after_a_broken_transfer(kaggle_server, tmp_path):
    noise = random.Random(0).randbytes(2_500_000)
    names = ("train/train/a.jpg", "test/test/b.jpg", "train_labels.csv", "test_images_list.csv")
    bundle = make_zip({name: noise if name == names[0] else b"x" for name in names})
    url = kaggle_server.serve("/bundle.zip", bundle, Fault(breaks_at=1_500_000))
    kaggle_server.serve(DOWNLOAD, b"", always=Fault(redirect=url))
    fetch(tmp_path, None, attempts=2)
    assert (tmp_path / "sports" / names[0]).read_bytes() == noise
