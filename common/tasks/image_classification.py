"""Image classification: one label for each image, from the mean of the last hidden states, one linear layer.

The mean over all positions is what convolutional models are trained with, and serves transformers as well as their
class token does (Beyer, Zhai and Kolesnikov 2022, https://arxiv.org/abs/2205.01580): one rule for every base model,
with or without such a token. Binary and multi-class. Nothing is cut at `max_length`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar  # the seam's readers are untyped

from common.metrics.classes import INFOS as INFOS
from common.metrics.classes import ClassMeasure
from common.metrics.measure import Labels
from common.tasks import Architecture
from common.tasks._classes import check_labels, class_columns, class_groups, class_index, stack_classes
from common.tasks._images import ImageExample, image_batch, image_examples, image_features
from common.tasks._losses import Loss
from common.tasks._text import in_full_precision
from common.usage import Usage

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

SNIPPET = """\
import json

import numpy as np
import torch
from peft import PeftModel
from PIL import Image, ImageOps
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel

BASE_MODEL = "path/to/base-model"
ADAPTER = "path/to/this-folder"
HEAD = $head_files
images = ["a-picture.png", "another.jpg"]


def picture(file):
    image = ImageOps.exif_transpose(Image.open(file))
    if image.mode.startswith("I;16"):  # 16-bit grey, in 8 bits
        image = Image.fromarray(((np.asarray(image).astype("uint32") + 128) // 257).astype("uint8"))
    return image.convert("RGB")


processor = AutoImageProcessor.from_pretrained(BASE_MODEL, backend="pil")
# With model_type "efficientnet-lite", and fedpeft installed: base = common.models.load_base(Path(BASE_MODEL)).
base = AutoModel.from_pretrained(BASE_MODEL)
model = PeftModel.from_pretrained(base, ADAPTER).eval()
with open(f"{ADAPTER}/task.json", encoding="utf-8") as file:
    labels = json.load(file)["labels"]
tensors = {name: tensor for file in HEAD for name, tensor in load_file(file).items()}
head = torch.nn.Linear(tensors["head.weight"].shape[1], len(labels))
head.load_state_dict({"weight": tensors["head.weight"], "bias": tensors["head.bias"]})

pixels = processor([picture(file) for file in images], return_tensors="pt")["pixel_values"]
with torch.no_grad():
    states = model(pixel_values=pixels).last_hidden_state.float()
    pooled = states.flatten(2).mean(dim=2) if states.ndim == 4 else states.mean(dim=1)
    probabilities = head(pooled).softmax(dim=-1)
for file, row in zip(images, probabilities.tolist()):
    print(file, dict(zip(labels, row)))"""


@dataclass(frozen=True)
class ImageClassification:
    """labels: the target's values in class order, at least two; with two, the second is the positive one."""

    labels: tuple[str, ...] = ()
    criterion: Loss = field(default_factory=Loss)
    architecture: ClassVar[Architecture] = "image"

    def __post_init__(self) -> None:
        """Check the labels."""
        check_labels(self.labels)
        self.criterion.check_classes(len(self.labels))

    @property
    def measure(self) -> ClassMeasure:
        """Probabilities against classes."""
        return ClassMeasure(len(self.labels))

    @property
    def expected(self) -> str:
        """One of the labels."""
        return f"task.labels are {', '.join(self.labels)}"

    def read_label(self, text: str) -> int | None:
        """Return the class index."""
        return class_index(text, self.labels)

    def stack(self, labels: Sequence[object]) -> NDArray[np.int64]:
        """Return class indices (n,)."""
        return stack_classes(labels)

    def groups(self, labels: Labels) -> Mapping[str, NDArray[np.bool_]]:
        """Return the rows of each class."""
        return class_groups(labels, self.labels)

    def open_reader(self, base_folder: Path) -> Any:
        """Return the reader that the base model's preprocessor_config.json describes."""
        from common.image_reader import read_preprocessor

        return read_preprocessor(base_folder)

    def build_head(self, *, hidden_size: int) -> nn.Module:
        """Return Linear(hidden_size, classes): `head.weight` (classes, hidden_size), `head.bias` (classes,)."""
        from torch import nn

        return nn.Linear(hidden_size, len(self.labels))

    def encode(
        self,
        reader: Any,
        inputs: Sequence[str],
        labels: Labels | None,
        *,
        max_length: int,  # noqa: ARG002 # of texts
    ) -> list[ImageExample]:
        """Read the files, sized as the base model wants them. Raises DataError."""
        targets = [0] * len(inputs) if labels is None else [int(label) for label in labels]
        return image_examples(reader, inputs, targets)

    def collate(self, examples: Sequence[ImageExample], *, pad_id: int) -> Mapping[str, Tensor]:  # noqa: ARG002 # of texts
        """Return `pixel_values` (batch, channels, height, width) float32, `targets` (batch,) int64."""
        import torch

        targets = torch.tensor([example.target for example in examples], dtype=torch.int64)
        return {"pixel_values": image_batch(examples), "targets": targets}

    def logits(self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Return head(mean of the positions) (batch, classes), pooled and classified in float32."""
        return in_full_precision(head, image_features(model, batch["pixel_values"]))

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean loss of the criterion."""
        return self.criterion.of(logits, batch["targets"])

    def scores(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002 # the seam's argument
        """Return the softmax over classes, (batch, classes)."""
        return logits.double().softmax(dim=-1)

    def predict(
        self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor], reader: Any
    ) -> list[dict[str, object]]:
        """Return the most probable label, and every label's probability."""
        del reader
        return class_columns(self.scores(self.logits(model, head, batch), batch), self.labels)


build = ImageClassification
usage = Usage(
    pooling="mean over all positions of the last hidden states", pipeline_tag="image-classification", snippet=SNIPPET
)
