from __future__ import annotations

from pathlib import Path

from kedro.config import OmegaConfigLoader

from sports_clip_pipeline import parameter_reference, settings

ROOT = Path(__file__).parents[1]


def values(env: str | None, **runtime_params: object) -> dict[str, tuple[object, str]]:
    loader = OmegaConfigLoader(
        str(ROOT / "conf"), env=env, runtime_params=runtime_params, **settings.CONFIG_LOADER_ARGS
    )
    found = parameter_reference.resolved(loader, ROOT / "conf")
    return {setting.name: (value, origin) for setting, value, origin in found}


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
    found = values("real", finetune={"folds": 3})
    assert found["embed.image_encoder"] == ("lite2", "real/parameters_embed.yml")
    assert found["embed.text_encoder"] == ("minilm", "base/parameters_embed.yml")
    assert found["embed.batch_size"] == (32, "default")
    assert found["finetune.folds"] == (3, "--params")
    assert found["mlflow.enabled"] == (True, "base/mlflow.yml")
    assert found["finetune.methods.ridge.alpha"][1] == "base/parameters_finetune.yml"
