from pathlib import Path

import pytest

from sports_clip_sample import write_sample

SIZE, SEED = 60, 3


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sample: 60 labelled images, 8 test images and 45 captioned ones."""
    out = tmp_path_factory.mktemp("sample")
    write_sample(out, SIZE, SEED)
    return out
