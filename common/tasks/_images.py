"""What tasks over images share: pixels read once and kept in 8 bits, batches in float32, features of a base model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any  # the target is the task's own

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from common.image_reader import ImageReader, Normalisation
from common.tasks._precision import widened

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class ImageExample:
    """Pixels (height, width, channels) of one image as the base model wants them sized, and its target."""

    pixels: NDArray[np.uint8]
    normalisation: Normalisation
    target: Any

    @property
    def length(self) -> int:
        """1: all images are of one size."""
        return 1


def image_examples(reader: ImageReader, files: Sequence[str], targets: Sequence[Any]) -> list[ImageExample]:
    """Read every file once. Raises DataError, without the name of a file."""
    found = []
    for number, (file, target) in enumerate(zip(files, targets, strict=True), start=1):
        try:
            pixels = reader.read(Path(file))
        except DataError as error:
            raise DataError(f"image {number} of {len(files)}: {error}") from None
        found.append(ImageExample(pixels, reader.normalisation, target))
    return found


def image_batch(examples: Sequence[ImageExample]) -> Tensor:
    """Return (batch, channels, height, width) in float32, normalised."""
    import torch

    pixels = examples[0].normalisation.apply(np.stack([example.pixels for example in examples]))
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def image_features(model: nn.Module, pixel_values: Tensor) -> Tensor:
    """Return (batch, hidden) in float32: the mean over all positions, of a grid or of a sequence of patches."""
    states: Tensor = widened(model(pixel_values=pixel_values).last_hidden_state)
    return states.flatten(2).mean(dim=2) if states.ndim == 4 else states.mean(dim=1)
