"""How a base model wants its images, by its `preprocessor_config.json`: resized, cropped, scaled and normalised.

The same numbers as transformers' own image processors make with Pillow: ViT's, DeiT's, BEiT's, CLIP's and BiT's by
`size` and `crop_size`, ConvNeXT's and ResNet's by `crop_pct`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any  # JSON

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError, ModelError
from common.images import MAX_PIXELS, read_image

if TYPE_CHECKING:
    from PIL.Image import Image

PREPROCESSOR = "preprocessor_config.json"
WARPED_FROM = 384
"""ConvNeXT's processor crops below this size, and warps from there on."""


@dataclass(frozen=True)
class Normalisation:
    """x * factor, then (x - mean) / std for each channel; nothing where `factor` is 1, `mean` 0 and `std` 1."""

    factor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (..., height, width, channels) in float32."""
        mean, std = np.array(self.mean, dtype=np.float32), np.array(self.std, dtype=np.float32)
        return np.asarray((pixels.astype(np.float32) * np.float32(self.factor) - mean) / std)


@dataclass(frozen=True)
class ImageReader:
    """Reads image files for one base model.

    size: (height, width) of what is read. resize: (height, width), or the length of the shorter side, before the
    middle of `size` is cut out. resample: Pillow's number of the filter.
    """

    size: tuple[int, int]
    resize: tuple[int, int] | int
    resample: int
    normalisation: Normalisation

    @property
    def channels(self) -> int:
        """1 is grey, 3 is RGB."""
        return len(self.normalisation.mean)

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Return the pixels of a file, (height, width, channels). Raises DataError, without the file's name."""
        return self.pixels(read_image(path))

    def pixels(self, image: Image) -> NDArray[np.uint8]:
        """Return the pixels of a picture in 8-bit grey or RGB, (height, width, channels).

        Raises:
            DataError: one side is so much longer than the other that the picture would be huge at the model's size.
        """
        from PIL.Image import Resampling

        whole = image.convert("L" if self.channels == 1 else "RGB")
        height, width = _resized(whole.height, whole.width, self.resize)
        if height * width > MAX_PIXELS:
            raise DataError(
                f"its image's sides are {whole.width} and {whole.height}: resized for the base model it would have "
                f"more than {MAX_PIXELS // 10**6} million pixels; cut it to what is to be seen"
            )
        scaled = np.asarray(whole.resize((width, height), Resampling(self.resample)))
        top, left = (height - self.size[0]) // 2, (width - self.size[1]) // 2
        cut = scaled[top : top + self.size[0], left : left + self.size[1]]
        return cut.reshape(*self.size, self.channels)


def _resized(height: int, width: int, wanted: tuple[int, int] | int) -> tuple[int, int]:
    """Return the size after resizing: as wanted, or in the proportions of the image.

    >>> _resized(30, 40, 15), _resized(40, 30, 15), _resized(9, 9, (4, 5))
    ((15, 20), (20, 15), (4, 5))
    """
    if not isinstance(wanted, int):
        return wanted
    long = int(wanted * max(height, width) / min(height, width))
    return (wanted, long) if height <= width else (long, wanted)


def read_preprocessor(folder: Path) -> ImageReader:
    """Return the reader of the base model in `folder`. Raises ModelError."""
    try:
        content = json.loads((folder / PREPROCESSOR).read_text(encoding="utf-8"))
        return _reader(content)
    except OSError:
        raise ModelError(
            f"base model folder {folder.name!r} has no {PREPROCESSOR}, which says how it wants its images"
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(
            f"base model folder {folder.name!r}: {PREPROCESSOR} is not understood ({error}); expected size, "
            "image_mean and image_std, as transformers' image processors of classifiers write them"
        ) from None


def _reader(content: Mapping[str, Any]) -> ImageReader:
    resize, size = _sizes(content)
    if min(size) < 1 or any(have < want for have, want in zip(_smallest(resize), size, strict=True)):
        raise ValueError(f"images of {_smallest(resize)} cannot be cropped to {size}")
    return ImageReader(size, resize, int(content.get("resample", 2)), _normalisation(content))


def _smallest(resize: tuple[int, int] | int) -> tuple[int, int]:
    return (resize, resize) if isinstance(resize, int) else resize


def _sizes(content: Mapping[str, Any]) -> tuple[tuple[int, int] | int, tuple[int, int]]:
    """Return what is resized to, and what is cut out of it."""
    if not content.get("do_resize", True):
        raise ValueError("do_resize is false; images of all sizes cannot be one batch")
    size = content["size"]
    resize = _pair(size)
    if content.get("crop_pct") is not None and isinstance(resize, int):
        return _convnext(resize, float(content["crop_pct"]))
    if content.get("do_center_crop", False):
        return resize, _smallest(_pair(content["crop_size"]))
    if isinstance(resize, int):
        raise ValueError("size.shortest_edge without do_center_crop; images of all sizes cannot be one batch")
    return resize, resize


def _convnext(edge: int, share: float) -> tuple[tuple[int, int] | int, tuple[int, int]]:
    whole = (edge, edge)
    return (whole if edge >= WARPED_FROM else int(edge / share)), whole


def _pair(size: Any) -> tuple[int, int] | int:
    """Return (height, width), or the length of the shorter side.

    >>> _pair(224), _pair({"height": 2, "width": 3}), _pair({"shortest_edge": 256})
    ((224, 224), (2, 3), 256)
    """
    if isinstance(size, Mapping):
        edge = size.get("shortest_edge")
        return int(edge) if edge is not None else (int(size["height"]), int(size["width"]))
    return int(size), int(size)


def _normalisation(content: Mapping[str, Any]) -> Normalisation:
    factor = float(content.get("rescale_factor", 1 / 255)) if content.get("do_rescale", True) else 1.0
    mean, std = tuple(map(float, content["image_mean"])), tuple(map(float, content["image_std"]))
    if len(mean) != len(std) or len(mean) not in (1, 3) or min(std) <= 0:
        raise ValueError("image_mean and image_std need a number for each of 1 or 3 channels, std above 0")
    if not content.get("do_normalize", True):
        mean, std = (0.0,) * len(mean), (1.0,) * len(std)
    return Normalisation(factor, mean, std)
