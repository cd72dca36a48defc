"""MLflow pyfunc model of a predictor, which MLflow copies and runs ("models from code")."""

import base64
import binascii
from typing import Any, cast

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from mlflow.pyfunc.model import PythonModelContext
from pydantic import BaseModel

MAX_IMAGES = 256
_invalid = MlflowException.invalid_parameter_value  # the server answers with status 400


class Prediction(BaseModel):
    """The most probable class of one image, its probability, and those of all classes by name."""

    label: str
    probability: float
    probabilities: dict[str, float]


class ServedPredictor(PythonModel):
    """Answers requests of `{"inputs": ["<base64 of a JPEG or PNG>", …]}`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the predictor's folder."""
        from sports_clip_pipeline.predictor.predictor import load_predictor

        self.predictor = load_predictor(context.artifacts["predictor"])

    def predict(self, model_input: list[str]) -> list[Prediction]:  # type: ignore[override]
        """One prediction an image, in their order.

        Raises: MlflowException: an input is not base64, or not an image.
        """
        if not 0 < len(model_input) <= MAX_IMAGES:
            raise _invalid(f"wanted 1 to {MAX_IMAGES} images, got {len(model_input)}")
        images = [_decode(text, index) for index, text in enumerate(model_input)]
        rows = self.predictor.predict_images(images).astype(float).tolist()
        answers = [dict(zip(self.predictor.classes, row, strict=True)) for row in rows]
        predictions = [
            {"label": max(p, key=p.__getitem__), "probability": max(p.values()), "probabilities": p}
            for p in answers
        ]
        return cast(list[Prediction], predictions)  # MLflow writes mappings as JSON, not models


def _decode(text: str, index: int) -> Any:
    """The upright RGB image of a base64 text; `index` is its number in the request."""
    from sports_clip_pipeline.data.formats import ImageRules
    from sports_clip_pipeline.data.transforms import UnusableImageError, open_upright

    try:
        return open_upright(base64.b64decode(text, validate=True), ImageRules())
    except (binascii.Error, ValueError) as error:
        raise _invalid(f"input {index} is not base64 ({error})") from error
    except UnusableImageError as error:
        raise _invalid(f"input {index} is not a usable image ({error.reason})") from error


set_model(ServedPredictor())
