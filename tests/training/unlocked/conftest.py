from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sports_clip_pipeline.models.clip_model import build_clip
from sports_clip_pipeline.models.projections import Projections
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from tests.training.unlocked.making import ONE_BLOCK, Corpus, make_corpus, random_projections


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A small captioned corpus of drawn scenes."""
    return make_corpus(tmp_path_factory.mktemp("unlocked"))


@pytest.fixture(scope="session")
def start(corpus: Corpus) -> Projections:
    """What training starts from."""
    return random_projections(corpus)


@pytest.fixture(scope="session")
def new_clip(corpus: Corpus, start: Projections) -> Callable[[], Any]:
    """A fresh model of packaged towers and those projections."""
    return lambda: build_clip(start, **corpus.recipe)


@pytest.fixture
def one_block() -> PretrainConfig:
    """The last block of either tower, a few steps."""
    return ONE_BLOCK
