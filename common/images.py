"""Image files: PNG, JPEG or TIFF with one picture, in 8-bit or 16-bit grey, or RGB, read by Pillow into 8 bits.

A file is what a hospital's other systems wrote: one that is no such image, is cut short, or unpacks to more than can
be meant is refused in a line without its name, which may be a patient's.
"""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "TIFF")
GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N")
MODES = ("L", "RGB", *GREY_16)
MAX_PIXELS = 50_000_000
MAX_BYTES = 256 * 2**20
_UNREADABLE = (OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError, OverflowError, struct.error)
"""What Pillow raises for damaged files, by format."""


def read_image(path: Path) -> Image:
    """Return the picture as 8-bit grey (`L`) or `RGB`, upright. 16-bit grey is divided by 257: all of its range counts.

    Raises:
        DataError: why the file is not read, without its name.
    """
    _check_file(path)
    from PIL import Image as pillow
    from PIL import ImageOps, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, not looked at; sizes are checked below
        try:
            with pillow.open(path, formats=FORMATS) as image:
                _check_header(image)
                image.load()
                return _in_8_bits(ImageOps.exif_transpose(image))
        except UnidentifiedImageError:
            raise DataError(f"its image is not {', '.join(FORMATS[:-1])} or {FORMATS[-1]}; convert it") from None
        except pillow.DecompressionBombError:
            raise DataError(_too_large()) from None
        except _UNREADABLE:
            raise DataError("its image is damaged or cut short; write the file again") from None


def _check_file(path: Path) -> None:
    try:
        found = path.stat()
    except (OSError, ValueError):  # a name too long, too
        raise DataError("there is no image file of the name that the row gives") from None
    if not S_ISREG(found.st_mode):
        raise DataError("its image is no file; give the name of one")
    if found.st_size > MAX_BYTES:
        raise DataError(f"its image has more than {MAX_BYTES // 2**20} MiB on the disk; make it smaller")


def _check_header(image: Image) -> None:
    """Before a pixel is unpacked. A JPEG of several pictures, as telephones write them, is its first."""
    if image.width * image.height > MAX_PIXELS:
        raise DataError(_too_large())
    if image.mode not in MODES:
        raise DataError(f"its image has mode {image.mode}, expected 8-bit or 16-bit grey, or RGB; convert it")
    frames = getattr(image, "n_frames", 1)
    if frames != 1 and image.format != "MPO":
        raise DataError(f"its image file holds {frames} pictures, expected one; give each picture a row")


def _too_large() -> str:
    return f"its image has more than {MAX_PIXELS // 10**6} million pixels; make it smaller"


def _in_8_bits(image: Image) -> Image:
    from PIL import Image as pillow

    if image.mode not in GREY_16:
        return image
    return pillow.fromarray(eight_bits(np.asarray(image)))


def eight_bits(grey: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return 16-bit grey in 8 bits, rounded.

    >>> eight_bits(np.array([0, 128, 129, 65535], dtype=np.uint16)).tolist()
    [0, 0, 1, 255]
    """
    return ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
