from __future__ import annotations

from sports_clip_pipeline import parameter_reference
from tests.conftest import ROOT, config_loader


def test_the_committed_reference_is_the_generated_one() -> None:
    page = (ROOT / "docs/reference/parameters.md").read_text(encoding="utf-8")
    assert page == parameter_reference.markdown(), "run: kedro config --markdown > the page"


def test_every_setting_has_a_description() -> None:
    blocks = parameter_reference.parameter_models().items()
    every = [
        row for block, model in blocks for row in parameter_reference.settings_of(model, block)
    ]
    assert {"analysis", "embed", "finetune", "mlflow", "pretrain", "report"} <= {*dict(blocks)}
    assert [row.name for row in every if not row.description] == []


def test_a_value_comes_with_its_origin() -> None:
    loader = config_loader("real", finetune={"folds": 3})
    rows = parameter_reference.resolved(loader, ROOT / "conf")
    found = {setting.name: (value, origin) for setting, value, origin in rows}
    assert found["embed.image_encoder"] == ("lite2", "real/parameters_embed.yml")
    assert found["embed.text_encoder"] == ("minilm", "base/parameters_embed.yml")
    assert found["embed.batch_size"] == (32, "default")
    assert found["finetune.folds"] == (3, "--params")
    assert found["mlflow.enabled"] == (True, "base/mlflow.yml")
    assert found["finetune.methods.ridge.alpha"][1] == "base/parameters_finetune.yml"
