"""Parameter blocks `embed` and `tokenize`: encoders, views, backend; tokenizer."""

from typing import Annotated

from pydantic import AfterValidator, Field

from sports_clip_pipeline.encoders import weights
from sports_clip_pipeline.parameters import Names, Parameters, Words, choices

VIEWS = ("full", "centre", "full_flip", "centre_flip")
BACKENDS = ("auto", "torch", "torch_channels_last", "onnxruntime", "torch_cuda")


def _each(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(weights.check_image_encoder(name) for name in names))


class EmbedConfig(Parameters, block="embed"):
    """Image and text encoders, input views and inference backend."""

    image_encoder: weights.ImageEncoder = Field(
        "lite2", description="First image encoder, the one that is aligned with the text encoder."
    )
    text_encoder: weights.TextEncoder = Field("minilm", description="As `tokenize.text_encoder`.")
    additional_encoders: Annotated[Words, AfterValidator(_each)] = Field(
        (), description="Further image encoders, for the labelled corpus alone."
    )
    image_size: int = Field(224, ge=64, le=512, description="Side of the square input, pixels.")
    views: Annotated[Names, choices(*VIEWS)] = Field(
        ("full",),
        description="Features are averaged over these: `full` squashes the whole image into the "
        "square, `centre` crops the middle, `…_flip` mirrors. Maps are drawn for the first.",
    )
    backend: Annotated[str, choices(*BACKENDS)] = Field(
        "auto",
        description="Runtime of the encoders; `auto` takes the fastest that agrees with torch.",
    )
    workers: int = Field(0, ge=0, le=64, description="Processes; 0 means one for each core.")
    batch_size: int = Field(32, ge=1, le=1024, description="Images or captions a forward pass.")

    def check(self) -> None:
        """Raises: ValueError: fields that contradict each other."""
        pair = weights.is_pair(self.image_encoder) or weights.is_pair(self.text_encoder)
        if pair and self.image_encoder != self.text_encoder:
            raise ValueError("wanted image_encoder and text_encoder to name the same pair")
        if self.image_encoder in self.additional_encoders:
            raise ValueError("wanted additional_encoders other than image_encoder")
        if not weights.is_pair(self.image_encoder) and self.image_size % 32:
            raise ValueError("wanted image_size to be a multiple of 32")


class TokenizeConfig(Parameters, block="tokenize"):
    """Whose tokenizer, and how many tokens."""

    text_encoder: weights.TextEncoder = Field("minilm", description="Its own tokenizer is used.")
    context_length: int = Field(
        64, ge=8, le=512, description="Tokens a caption may have, special ones included."
    )
