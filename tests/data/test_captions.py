from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.data.captions import Tokens, caption_table, rows_without_mention

NAMES = {"hockey": ["hockey"], "table_tennis": ["table tennis", "ping pong"]}


def captions(*rows: tuple[int, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image_row", "split", "text"])


def test_batches_of_captions_give_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = pd.DataFrame(
        {
            "image": list("ab"),
            "split": "train",
            "captions": [["one dog", "two"], ["a b c", "x", "y z"]],
        }
    )
    batch_sizes: list[int] = []

    def tokenizer(texts: Sequence[str]) -> Tokens:
        batch_sizes.append(len(texts))
        ids = [np.arange(len(text.split()), dtype=np.int32) for text in texts]
        return Tokens(ids, np.array([len(row) > 2 for row in ids]))

    whole = caption_table(manifest, tokenizer)
    monkeypatch.setattr("sports_clip_pipeline.data.captions._BATCH_SIZE", 2)
    pd.testing.assert_frame_equal(caption_table(manifest, tokenizer), whole)
    assert batch_sizes == [5, 2, 2, 1]
    assert whole["length"].tolist() == [2, 1, 3, 1, 2]
    assert whole["truncated"].tolist() == [False, False, True, False, False]


def test_images_with_a_mentioned_class_are_left_out() -> None:
    table = captions(
        (7, "test", "A dog runs ."),
        (7, "test", "A dog plays Ping Pong !"),
        (3, "test", "Two men play a game ."),
        (5, "test", "They play hockeyish games at a table ; tennis is over ."),
        (9, "train", "A dog sleeps ."),
    )
    assert rows_without_mention(table, NAMES, "test").tolist() == [3, 5]
    assert rows_without_mention(table, NAMES, "train").tolist() == [9]
    assert rows_without_mention(table, NAMES, "validation").tolist() == []
