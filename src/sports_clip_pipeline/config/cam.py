"""The `cam` parameter block: which predictions are explained, and how."""

from __future__ import annotations

from dataclasses import dataclass

from sports_clip_pipeline.config.checks import as_tuple, require, require_choice, require_number

TRUE, PREDICTED = "{true}", "{predicted}"
GUIDED = "guided"
METHODS = {
    "gradcam": "GradCAM",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "scorecam": "ScoreCAM",
    GUIDED: "guided backpropagation",
}
"""Ways to explain by the name that configuration gives them; what people call them."""


@dataclass(frozen=True)
class CamConfig:
    """Parameter block `cam`.

    Attributes:
        right, wrong: how many rightly and wrongly classified evaluation photographs.
        confident_share: in (0, 1]; of each kind, only this most confident share is drawn from.
        seed: of the draw.
        classes: scores of the classifier to explain: `{predicted}`, `{true}`.
        prompts: texts to explain through CLIP; `{true}` and `{predicted}` stand for the first
            prompt of that class, anything else is free text.
        methods: ways to draw the maps, of `METHODS`; each asks every question.
        pairs: how many of the pairs of classes that are confused most get contrast maps (what
            speaks for the one against the other), on up to two photographs each.
        guided: whether to add guided backpropagation for the predicted class.
        layer: dotted name, within the image tower, of the layer whose maps are weighed; `auto`
            takes the last map before pooling, or of a vision transformer the first norm of its
            last block.
        picture_px: long side of the pictures, pixels.
        picture_quality: of their JPEG, 30 to 95.
    """

    right: int = 6
    wrong: int = 6
    confident_share: float = 0.5
    seed: int = 0
    classes: tuple[str, ...] = (PREDICTED, TRUE)
    prompts: tuple[str, ...] = (PREDICTED, TRUE)
    methods: tuple[str, ...] = ("gradcam",)
    pairs: int = 3
    guided: bool = True
    layer: str = "auto"
    picture_px: int = 224
    picture_quality: int = 80

    def __post_init__(self) -> None:
        require_number(self.right, "cam.right", 0, 500, integer=True)
        require_number(self.wrong, "cam.wrong", 0, 500, integer=True)
        require(self.right + self.wrong > 0, "cam.right", "at least one, or cam.wrong", 0)
        require_number(self.confident_share, "cam.confident_share", 0.0, 1.0)
        require(self.confident_share > 0, "cam.confident_share", "more than 0", 0)
        require_number(self.seed, "cam.seed", 0, 2**31 - 1, integer=True)
        require_number(self.pairs, "cam.pairs", 0, 1000, integer=True)
        object.__setattr__(self, "methods", method_names(self.methods, "cam.methods"))
        require(isinstance(self.guided, bool), "cam.guided", "true or false", self.guided)
        require_number(self.picture_px, "cam.picture_px", 32, 1024, integer=True)
        require_number(self.picture_quality, "cam.picture_quality", 30, 95, integer=True)
        require_layer(self.layer, "cam.layer")
        object.__setattr__(self, "classes", _texts(self.classes, "cam.classes"))
        object.__setattr__(self, "prompts", _texts(self.prompts, "cam.prompts"))
        for wish in self.classes:
            known = wish in (TRUE, PREDICTED)
            require(known, "cam.classes", f"{PREDICTED} or {TRUE}", wish)
        for prompt in self.prompts:
            plain = prompt in (TRUE, PREDICTED) or not {"{", "}"} & set(prompt)
            require(plain, "cam.prompts", f"free text, or {PREDICTED} or {TRUE} alone", prompt)


def require_layer(value: object, parameter: str) -> None:
    """Raises: UserFacingError: no name of a layer."""
    is_name = isinstance(value, str) and bool(value.strip())
    require(is_name, parameter, "a dotted module name, or auto", value)


def method_names(value: object, parameter: str) -> tuple[str, ...]:
    """Names of `METHODS`, each once, at least one. Raises: UserFacingError."""
    names = as_tuple(value, parameter, str)
    for name in names:
        require_choice(name, parameter, METHODS)
        require(names.count(name) == 1, parameter, "each method once", name)
    return names


def _texts(value: object, parameter: str) -> tuple[str, ...]:
    """A tuple of different texts; an empty list is allowed, and asks for nothing."""
    if isinstance(value, (list, tuple)) and not value:
        return ()
    texts = as_tuple(value, parameter, lambda item: item)
    for text in texts:
        require(isinstance(text, str) and bool(text.strip()), parameter, "non-blank texts", text)
        require(texts.count(text) == 1, parameter, "each text once", text)
    return texts
