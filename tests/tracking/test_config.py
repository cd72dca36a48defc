"""The settings of MLflow."""

from pathlib import Path

import pytest
import yaml

from sports_clip_pipeline.config.tracking import TrackingConfig, read_tracking
from sports_clip_pipeline.errors import UserFacingError

PROJECT = Path(__file__).parents[2]


def test_the_committed_file_says_what_the_defaults_say():
    document = yaml.safe_load((PROJECT / "conf/base/mlflow.yml").read_text())
    assert read_tracking(document, {}) == TrackingConfig()


def test_familiar_keys_are_read():
    document = {
        "server": {"mlflow_tracking_uri": "http://127.0.0.1:5000"},
        "tracking": {"enabled": False, "experiment": {"name": "e"}, "run": {"name": "r"}},
    }
    document["tracking"]["register"] = False
    assert read_tracking(document, {}) == TrackingConfig(
        enabled=False, uri="http://127.0.0.1:5000", experiment="e", run_name="r", register=False
    )


def test_the_environment_names_another_store():
    document = {"server": {"mlflow_tracking_uri": "sqlite:///a.db"}}
    environ = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:5001"}
    assert read_tracking(document, environ).uri == "http://127.0.0.1:5001"
    assert read_tracking(document, {"MLFLOW_TRACKING_URI": ""}).uri == "sqlite:///a.db"
    with pytest.raises(UserFacingError, match=r"server\.mlflow_tracking_uri"):
        read_tracking(document, {"MLFLOW_TRACKING_URI": "ftp://a"})


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(UserFacingError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        TrackingConfig(uri="https://me:secret@host:5000")
    assert "secret" not in str(caught.value)


def test_a_mistyped_key_is_refused_with_the_nearest():
    with pytest.raises(UserFacingError, match=r"tracking\.experimnt\.name.*tracking\.experiment"):
        read_tracking({"tracking": {"experimnt": {"name": "e"}}})


@pytest.mark.parametrize(
    "uri",
    ["mlruns", "file:///tmp/runs", "sqlite://", "sqlite:///", "sqlite:///:memory:", "", None, 3],
)
def test_a_store_that_mlflow_would_not_take_is_refused(uri):
    with pytest.raises(UserFacingError, match=r"server\.mlflow_tracking_uri"):
        TrackingConfig(uri=uri)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("enabled", "yes"),
        ("register", 1),
        ("experiment", ""),
        ("run_name", 3),
        ("ui_port", 0),
        ("ui_port", "a"),
    ],
)
def test_a_value_out_of_range_is_refused(field, value):
    with pytest.raises(UserFacingError):
        TrackingConfig(**{field: value})
