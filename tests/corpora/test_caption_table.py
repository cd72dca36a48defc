from __future__ import annotations

import pandas as pd

from sports_clip_pipeline.corpora.caption_table import rows_without_mention

NAMES = {"hockey": ["hockey"], "table_tennis": ["table tennis", "ping pong"]}


def captions(*rows: tuple[int, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image_row", "split", "text"])


def test_one_caption_that_names_a_class_takes_its_photograph_out() -> None:
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
