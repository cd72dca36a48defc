from __future__ import annotations

import importlib
import warnings

from sports_clip_pipeline import settings

SAID = "ORJSONResponse is deprecated, FastAPI now serializes"


def test_of_all_warnings_one_of_kedro_viz_is_kept_from_the_reader() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        importlib.reload(settings)
        for text, module in (
            (SAID, "kedro_viz.api.apps"),
            (SAID, "sports_clip_pipeline.serving"),
            ("UJSONResponse is deprecated", "kedro_viz.api.apps"),
        ):
            warnings.warn_explicit(text, UserWarning, "a.py", 1, module=module)
    assert [str(warning.message) for warning in heard] == [SAID, "UJSONResponse is deprecated"]
