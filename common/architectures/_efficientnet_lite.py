"""EfficientNet-Lite in torch; see `efficientnet_lite` for its shape."""

from typing import Any  # transformers' classes are untyped

from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithNoAttention

from common.architectures.efficientnet_lite import IMAGE_SIZE, MODEL_TYPE, STEM, TOP, BlockShape, block_shapes

EPSILON = 1e-3


class EfficientNetLiteConfig(PretrainedConfig):  # type: ignore[misc] # transformers' classes are untyped
    """What `config.json` says; all of it is fixed."""

    model_type = MODEL_TYPE

    def __init__(self, **kwargs: Any) -> None:
        self.hidden_size, self.num_channels, self.image_size = TOP, 3, IMAGE_SIZE
        super().__init__(**kwargs)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON)


def _conv(inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)


def _same(images: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad as TensorFlow's `same`, static: for sides that the stride divides, the odd column goes to the far end."""
    total = kernel - stride
    return nn.functional.pad(images, (total // 2, total - total // 2) * 2)


class Block(nn.Module):
    """An inverted bottleneck, with its input added where size and channels stay."""

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        self.shape = shape
        if shape.expansion > 1:
            self.expand = _conv(shape.inputs, shape.width)
            self.expand_norm = _norm(shape.width)
        self.depthwise = _conv(shape.width, shape.width, shape.kernel, stride=shape.stride, groups=shape.width)
        self.depthwise_norm = _norm(shape.width)
        self.project = _conv(shape.width, shape.outputs)
        self.project_norm = _norm(shape.outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Return (batch, outputs, height / stride, width / stride)."""
        shape, inner = self.shape, images
        if shape.expansion > 1:
            inner = nn.functional.relu6(self.expand_norm(self.expand(inner)))
        inner = self.depthwise(_same(inner, shape.kernel, shape.stride))
        inner = nn.functional.relu6(self.depthwise_norm(inner))
        inner = self.project_norm(self.project(inner))
        stays = shape.stride == 1 and shape.inputs == shape.outputs
        result: Tensor = inner + images if stays else inner
        return result


class EfficientNetLite(PreTrainedModel):  # type: ignore[misc] # transformers' classes are untyped
    """The network without its classifier; without stochastic depth, since its blocks are frozen."""

    config_class = EfficientNetLiteConfig
    main_input_name = "pixel_values"

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        self.stem = _conv(config.num_channels, STEM, 3, stride=2)
        self.stem_norm = _norm(STEM)
        shapes = list(block_shapes())
        self.blocks = nn.ModuleList(Block(shape) for shape in shapes)
        self.top = _conv(shapes[-1].outputs, TOP)
        self.top_norm = _norm(TOP)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """torch's own start is as good as any: weights come from a file."""

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithNoAttention:
        """Return `last_hidden_state` (batch, 1280, height / 32, width / 32), for sides that 32 divides."""
        states = nn.functional.relu6(self.stem_norm(self.stem(_same(pixel_values, 3, 2))))
        for block in self.blocks:
            states = block(states)
        states = nn.functional.relu6(self.top_norm(self.top(states)))
        return BaseModelOutputWithNoAttention(last_hidden_state=states)
