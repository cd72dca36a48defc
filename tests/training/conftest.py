from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sports_clip_pipeline.clip.model import build_clip
from sports_clip_pipeline.clip.projections import Projections
from tests.training.corpus import Corpus, make_corpus, random_projections


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `corpus`, for processes that read it again."""
    folder = tmp_path_factory.mktemp("unlocked")
    make_corpus(folder)
    return folder


@pytest.fixture(scope="session")
def corpus(corpus_folder: Path) -> Corpus:
    """A small captioned corpus of drawn scenes."""
    return make_corpus(corpus_folder)


@pytest.fixture(scope="session")
def start(corpus: Corpus) -> Projections:
    """Projections to start from."""
    return random_projections(corpus)


@pytest.fixture(scope="session")
def new_clip(corpus: Corpus, start: Projections) -> Callable[[], Any]:
    """A fresh model of packaged encoders and those projections."""
    return lambda: build_clip(start, **corpus.recipe)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Toy encoders are slower on several threads, and far slower where others work as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
