"""A predictor behind MLflow's scoring server: photographs in base64, labels and probabilities out.

MLflow copies this file into the model and runs it there ("from code"); it imports the project.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from mlflow.pyfunc.model import PythonModelContext
from pydantic import BaseModel

MOST = 256
"""Photographs of one request, at most."""


class Answer(BaseModel):
    """What is said of one photograph.

    Attributes:
        label: the class with the highest probability. probability: that.
        probabilities: of all classes, by name.
    """

    label: str
    probability: float
    probabilities: dict[str, float]


class ServedPredictor(PythonModel):
    """Answers requests of `{"inputs": ["<base64 of a JPEG or PNG>", …]}`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the predictor's folder."""
        from sports_clip_pipeline.predictor.predictor import load_predictor

        self.predictor = load_predictor(context.artifacts["predictor"])

    def predict(  # type: ignore[override]
        self, model_input: list[str], params: Any = None
    ) -> list[Answer]:
        """One answer a photograph, in their order.

        Args:
            model_input: base64 of image files.
        Returns: the fields of an `Answer` each, as a mapping.
        Raises: MlflowException: (400) an input is no base64, or no photograph.
        """
        if not 0 < len(model_input) <= MOST:
            raise _bad(f"wanted 1 to {MOST} photographs, got {len(model_input)}")
        images = [photograph(text, place) for place, text in enumerate(model_input)]
        classes = self.predictor.classes
        answers = [
            {
                "label": classes[int(row.argmax())],
                "probability": float(row.max()),
                "probabilities": dict(zip(classes, map(float, row), strict=True)),
            }
            for row in self.predictor.predict_images(images)
        ]
        return cast(list[Answer], answers)  # MLflow writes mappings as JSON, not models


def photograph(text: str, place: int) -> Any:
    """The upright RGB image of a base64 text; `place` is its number in the request.

    Raises: MlflowException: (400).
    """
    from sports_clip_pipeline.data.transforms import UnusableImageError, open_upright
    from sports_clip_pipeline.pipelines.ingest.config import ImageRules

    try:
        return open_upright(base64.b64decode(text, validate=True), ImageRules()).image
    except (binascii.Error, ValueError) as error:
        raise _bad(f"input {place} is no base64 ({error})") from error
    except UnusableImageError as error:
        raise _bad(f"input {place} is no usable photograph ({error.reason})") from error


def _bad(what: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(what)


set_model(ServedPredictor())
