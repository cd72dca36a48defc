"""The Sports corpus from Kaggle, with the user's own account, through kagglehub."""

from __future__ import annotations

import logging
import os
import shutil
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import requests

from sports_clip_pipeline.data.archives import move_into_place
from sports_clip_pipeline.errors import UserFacingError

_LOG = logging.getLogger(__name__)

PUBLISHED_FORM = ("train", "train_labels.csv", "test", "test_images_list.csv")
_TOKEN_PAGE = "https://www.kaggle.com/settings/api"
_CACHE_VARIABLE = "KAGGLEHUB_CACHE"


class KaggleClient(Protocol):
    """The part of the module `kagglehub` that is used."""

    def competition_download(self, handle: str) -> str:
        """Download and unpack a competition's files; return their folder."""


def competition_url(competition: str) -> str:
    """The page of a Kaggle competition."""
    return f"https://www.kaggle.com/competitions/{competition}"


def fetch_competition(
    competition: str,
    raw_dir: Path,
    target: Path,
    *,
    attempts: int = 1,
    backoff_s: float = 0.0,
    client: KaggleClient | None = None,
) -> None:
    """Download a competition's files into the folder `target`, whole or not at all.

    kagglehub keeps its archive under `raw_dir/downloads/kagglehub` until it is unpacked, so a
    broken transfer is continued by the next run.

    Args:
        competition: its name in its address.
        raw_dir: the raw folder; `downloads/kagglehub` in it is ours.
        target: the folder to make, on the same disk.
        attempts: tries when the network fails; kagglehub itself continues what has come.
        backoff_s: seconds before the second try, doubled before each later one.
        client: what stands in for `kagglehub`.
    Raises: UserFacingError: no or wrong credentials, rules not accepted, no such competition, no
        network, or files in another form than published.
    """
    cache = (raw_dir / "downloads" / "kagglehub").resolve()
    try:
        with _environment(_CACHE_VARIABLE, str(cache)):
            folder = _download(competition, client or _kagglehub(), attempts, backoff_s)
    except Exception as error:
        explained = _explained(error, competition, target)
        if explained is None:
            raise
        raise explained from error
    missing = [name for name in PUBLISHED_FORM if not (folder / name).exists()]
    if missing:
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
        what = f"the competition's files have no {' and no '.join(missing)} (but {found})"
        raise UserFacingError(folder, what, manual_steps(competition, target))
    _adopt(folder, cache, target)


def manual_steps(competition: str, target: Path) -> str:
    """What to put where, for those who download in the browser."""
    return (
        f"download it from {competition_url(competition)}/data in the browser and save the zip "
        f"as {target.with_name(target.name + '.zip')}, or unpack it so that {target}/ holds "
        "train/train/*.jpg, train_labels.csv, test/test/*.jpg and test_images_list.csv"
    )


def _download(competition: str, client: KaggleClient, attempts: int, backoff_s: float) -> Path:
    for failed in range(attempts):
        try:
            return Path(client.competition_download(competition))
        except requests.RequestException as error:
            if error.response is not None or failed == attempts - 1:
                raise
            _LOG.info("Kaggle: %s; trying again", error)
            time.sleep(min(backoff_s * 2**failed, 30))
    raise AssertionError("attempts is at least 1")


def _adopt(folder: Path, cache: Path, target: Path) -> None:
    """Bring the unpacked files to their place; what lies outside our cache is copied."""
    if not folder.resolve().is_relative_to(cache):
        site = cache.with_name(f"{target.name}.partial")
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(folder, site)
        folder = site
    move_into_place(folder, target)
    shutil.rmtree(cache, ignore_errors=True)


def _explained(error: Exception, competition: str, target: Path) -> UserFacingError | None:
    """The user's side of a kagglehub failure; None for a failure of another kind."""
    url = competition_url(competition)
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    known = {
        401: (
            "Kaggle refused the credentials (401)",
            f"make a new token at {_TOKEN_PAGE} and run again",
        ),
        403: (
            "Kaggle refused access (403): the competition's rules are not accepted by this account",
            f"accept them in the browser at {url}/rules and run again",
        ),
        404: (
            "Kaggle knows no such competition (404)",
            "correct download.sports_competition and run again",
        ),
        429: ("Kaggle wants a pause (429)", "run again in some minutes"),
    }
    what, remedy = known.get(cast(int, status)) or _without_status(error, status)
    if not what:
        return None
    return UserFacingError(url, what, f"{remedy}, or {manual_steps(competition, target)}")


def _without_status(error: Exception, status: int | None) -> tuple[str, str]:
    name = type(error).__name__
    if name == "UnauthenticatedError" or "Kaggle credentials" in str(error):
        return (
            f"no usable Kaggle credentials ({error})",
            f"make a token at {_TOKEN_PAGE} and keep it in ~/.kaggle/kaggle.json, in "
            "KAGGLE_API_TOKEN, or in KAGGLE_USERNAME and KAGGLE_KEY",
        )
    if status is not None:
        return f"Kaggle answered {status} ({error})", "run again later"
    broken = (zipfile.BadZipFile, tarfile.TarError)
    if name == "DataCorruptionError" or "Unsupported archive" in str(error):
        return f"what Kaggle sent is damaged ({error})", "run again"
    if isinstance(error, broken):
        return f"what Kaggle sent cannot be unpacked ({error})", "run again"
    if isinstance(error, requests.RequestException):
        return "Kaggle cannot be reached", "check the network and run again"
    return "", ""


def _kagglehub() -> KaggleClient:
    import kagglehub

    return cast(KaggleClient, kagglehub)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for the time of a block."""
    before: Any = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
