"""Finding the layer whose feature maps are weighed.

GradCAM is best at the deepest layer that still has a map (Selvaraju et al. 2017, section 3). In
timm's EfficientNets that is `bn2`, which is `conv_head` normalised and clipped by its ReLU6: it is
what the global pooling averages, so that for a linear head the map adds up to the score.
`conv_head` itself still holds the negative values that the network never passes on.
"""

from __future__ import annotations

from torch import nn

from sports_clip_pipeline.errors import UserFacingError

AUTO = "auto"
# The last map before pooling, by the name that timm's families give it: EfficientNet and
# MobileNet-like, ResNet, ConvNeXt, RegNet and VGG-like.
_LAST_MAPS = ("bn2", "layer4", "stages", "final_conv", "features")


def find_layer(tower: nn.Module, name: str = AUTO) -> nn.Module:
    """The part of `tower` that bears a dotted name, or the last map before pooling for `auto`.

    Raises: UserFacingError: no such part; or `auto` and no known family.
    """
    parts = dict(tower.named_modules())
    wanted = next((last for last in _LAST_MAPS if last in parts), None) if name == AUTO else name
    if wanted is None or wanted == "" or wanted not in parts:
        children = ", ".join(child for child, _ in tower.named_children()) or "nothing"
        raise UserFacingError(
            f"parameter cam.layer = {name}",
            f"the tower {type(tower).__name__} has no such layer (at its top it has {children})",
            "name one of its convolutional layers, such as blocks.6",
        )
    return parts[wanted]
