"""Download from Kaggle, with a fake of kagglehub and with kagglehub and a local server."""

import gc
import os
import random
from collections.abc import Iterator
from pathlib import Path

import kagglehub
import pytest
import requests
from kagglehub.exceptions import DataCorruptionError, KaggleApiHTTPError, UnauthenticatedError
from kagglesdk import kaggle_env

from sports_clip_pipeline.data.download import SPORTS_FILES, download_competition
from sports_clip_pipeline.errors import UserFacingError
from tests.data.conftest import configure, make_zip
from tests.data.faulty_server import Fault, FaultyServer

PAGE = "https://www.kaggle.com/competitions/some-sports"


@pytest.fixture(autouse=True)
def kagglehub_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores the environment variable after each test."""
    monkeypatch.setenv("KAGGLEHUB_CACHE", "/somewhere")


def write_files(folder: Path, names: tuple[str, ...] = SPORTS_FILES) -> Path:
    """Files and folders of these names."""
    for name in names:
        path = folder / name / "a.jpg" if "." not in name else folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return folder


def fake_kaggle(
    monkeypatch: pytest.MonkeyPatch, *errors: Exception, names: tuple[str, ...] = SPORTS_FILES
) -> list[str]:
    """kagglehub raises the errors in turn, then writes the files. Returns: a log of the calls."""
    calls: list[str] = []

    def competition_download(handle: str) -> str:
        calls.append(handle)
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        folder = Path(os.environ["KAGGLEHUB_CACHE"]) / "competitions" / handle
        return str(write_files(folder, names))

    monkeypatch.setattr(kagglehub, "competition_download", competition_download)
    return calls


def fetch(tmp_path: Path, **changes: object) -> None:
    config = configure(**{"attempts": 1, **changes})
    download_competition(config, tmp_path / "downloads" / "kagglehub", tmp_path / "sports")


def answered(status: int) -> KaggleApiHTTPError:
    """kagglehub's error for an HTTP status."""
    response = requests.Response()
    response.status_code = status
    return KaggleApiHTTPError(f"{status} Client Error.\n\nSee the rules", response=response)


def test_files_are_moved_to_the_raw_folder_and_the_cache_is_removed(tmp_path, monkeypatch):
    calls = fake_kaggle(monkeypatch)
    fetch(tmp_path)
    assert all((tmp_path / "sports" / name).exists() for name in SPORTS_FILES)
    assert calls == ["some-sports"]
    assert os.environ["KAGGLEHUB_CACHE"] == str(tmp_path / "downloads" / "kagglehub")
    assert not (tmp_path / "downloads" / "kagglehub").exists()


def test_files_outside_the_cache_are_copied(tmp_path, monkeypatch):
    mounted = write_files(tmp_path / "mounted")
    monkeypatch.setattr(kagglehub, "competition_download", lambda handle: str(mounted))
    fetch(tmp_path)
    assert (tmp_path / "sports" / "train_labels.csv").exists()
    assert (mounted / "train_labels.csv").exists()


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (answered(401), ("answered 401", "make a new token")),
        (answered(403), ("answered 403", f"in the browser at {PAGE}/rules")),
        (answered(404), ("answered 404", "download.sports_competition")),
        (answered(429), ("Kaggle answered 429", "wait some minutes")),
        (answered(500), ("Kaggle answered 500", "wait some minutes")),
        (UnauthenticatedError(), ("no usable Kaggle credentials", "~/.kaggle/kaggle.json")),
        (ValueError("Invalid Kaggle credentials file at x"), ("file at x", "KAGGLE_API_TOKEN")),
        (requests.ConnectionError("no route"), ("cannot be reached", "check the network")),
        (requests.Timeout("slow"), ("cannot be reached", "check the network")),
        (DataCorruptionError("md5"), ("is damaged", "run again")),
        (ValueError("Unsupported archive type."), ("is damaged", "run again")),
    ],
)
def test_error_is_one_line_with_remedy_and_manual_steps(tmp_path, monkeypatch, error, parts):
    fake_kaggle(monkeypatch, error)
    with pytest.raises(UserFacingError) as caught:
        fetch(tmp_path)
    line = str(caught.value)
    assert not (tmp_path / "sports").exists()
    assert line.startswith(f"{PAGE}: ")
    assert "\n" not in line
    manual = (f"{PAGE}/data", str(tmp_path / "sports.zip"), "train/train/*.jpg")
    for part in (*parts, *manual, "train_labels.csv", "test/test/*.jpg", "test_images_list.csv"):
        assert part in line


def test_network_errors_are_retried_and_http_errors_are_not(tmp_path, monkeypatch):
    calls = fake_kaggle(monkeypatch, requests.ConnectionError(), requests.Timeout(), answered(403))
    with pytest.raises(UserFacingError, match="403"):
        fetch(tmp_path, attempts=5)
    assert len(calls) == 3
    fetch(tmp_path)
    assert (tmp_path / "sports").exists()


def test_files_in_another_format_are_refused_and_other_errors_not_converted(tmp_path, monkeypatch):
    fake_kaggle(monkeypatch, PermissionError(13, "denied", "x"), names=("train", "labels.csv"))
    with pytest.raises(PermissionError):
        fetch(tmp_path)
    with pytest.raises(UserFacingError, match=r"no train_labels\.csv and no test and no"):
        fetch(tmp_path)
    assert not (tmp_path / "sports").exists()


def test_kagglehub_without_credentials_is_one_line(tmp_path, monkeypatch):
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserFacingError, match="no usable Kaggle credentials"):
        fetch(tmp_path)


@pytest.fixture
def kaggle_server(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """The local server in place of Kaggle's, for the real kagglehub."""
    local = kaggle_env.KaggleEnv.LOCAL
    monkeypatch.setitem(kaggle_env._env_to_endpoint, local, server.url("").rstrip("/"))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "some-token")
    yield server
    gc.collect()  # kagglehub leaves its sockets to the collector, which warns


DOWNLOAD = "/api/v1/competitions.CompetitionApiService/DownloadDataFiles"


@pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_kagglehub_reports_a_refusal_and_is_called_again_after_a_broken_transfer(
    kaggle_server, tmp_path
):
    noise = random.Random(0).randbytes(2_500_000)
    names = ("train/train/a.jpg", "test/test/b.jpg", "train_labels.csv", "test_images_list.csv")
    bundle = make_zip({name: noise if name == names[0] else b"x" for name in names})
    url = kaggle_server.serve("/bundle.zip", bundle, Fault(breaks_at=1_500_000))
    forbidden, moved = Fault(status=403), Fault(redirect=url)
    kaggle_server.serve(DOWNLOAD, b"", forbidden, always=moved)
    with pytest.raises(UserFacingError, match="answered 403"):
        fetch(tmp_path)
    fetch(tmp_path, attempts=2)
    assert (tmp_path / "sports" / names[0]).read_bytes() == noise
