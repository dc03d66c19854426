"""Image files as a hospital has them: read into 8 bits, or refused in a line that names nothing."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import DataError
from common.images import MAX_PIXELS, eight_bits, read_image

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 256, (7, 5), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (7, 5), dtype=np.uint16)
COLOUR = RNG.integers(0, 256, (7, 5, 3), dtype=np.uint8)


def written(folder: Path, pixels: np.ndarray, name: str, **options: object) -> Path:
    Image.fromarray(pixels).save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_eight_bits_are_as_they_were_written(pixels: np.ndarray, ending: str, tmp_path: Path) -> None:
    image = read_image(written(tmp_path, pixels, f"a.{ending}"))
    np.testing.assert_array_equal(np.asarray(image), pixels)
    assert image.mode == ("L" if pixels.ndim == 2 else "RGB")


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_the_nearest_of_eight(name: str, tmp_path: Path) -> None:
    """255 steps of 257 each: the whole range of 16 bits counts, whatever part of it an image uses."""
    found = np.asarray(read_image(written(tmp_path, DEEP, name)))
    np.testing.assert_array_equal(found, np.round(DEEP / 257).astype(np.uint8))
    assert found.dtype == np.uint8


def test_no_two_shades_of_sixteen_bits_change_places() -> None:
    shades = np.arange(65536, dtype=np.uint16)
    assert (np.diff(eight_bits(shades).astype(int)) >= 0).all()
    np.testing.assert_array_equal(np.bincount(eight_bits(shades))[1:-1], 257)


def test_a_jpeg_is_close_and_is_told_by_its_bytes_and_not_by_its_name(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
    path = written(tmp_path, smooth, "a.jpg", quality=95)
    renamed = path.rename(tmp_path / "scan.png")
    assert np.abs(np.asarray(read_image(renamed)).astype(int) - smooth).max() <= 4


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise by a quarter
    path = written(tmp_path, GREY, "a.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_image(path)), np.rot90(GREY, -1))


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that says so of its size, and holds nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def cut(folder: Path, name: str, share: float) -> Path:
    noise = RNG.integers(0, 256, (60, 60, 3), dtype=np.uint8)
    path = written(folder, noise, name)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return path


def with_bytes(folder: Path, content: bytes) -> Path:
    (folder / "a.png").write_bytes(content)
    return folder / "a.png"


def animation(folder: Path) -> Path:
    frames = [Image.fromarray(GREY), Image.fromarray(GREY[::-1])]
    frames[0].save(folder / "a.tif", save_all=True, append_images=frames[1:])
    return folder / "a.tif"


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "text": (lambda f: with_bytes(f, b"patient,ill\np1,yes\n"), "not PNG, JPEG or TIFF"),
    "nothing": (lambda f: with_bytes(f, b""), "not PNG, JPEG or TIFF"),
    "absent": (lambda f: f / "a.png", "no image file"),
    "folder": (lambda f: f, "is no file"),
    "another format": (lambda f: written(f, GREY, "a.gif"), "not PNG, JPEG or TIFF"),
    "half a png": (lambda f: cut(f, "a.png", 0.5), "cut short"),
    "half a jpeg": (lambda f: cut(f, "a.jpg", 0.5), "cut short"),
    "half a tiff": (lambda f: cut(f, "a.tif", 0.5), "cut short"),
    "a header only": (lambda f: with_bytes(f, png_header(9, 9)), "cut short"),
    "above the bound": (lambda f: with_bytes(f, png_header(MAX_PIXELS // 1000 + 1, 1000)), "million pixels"),
    "pillow's own warning": (lambda f: with_bytes(f, png_header(10_000, 10_000)), "million pixels"),
    "a bomb": (lambda f: with_bytes(f, png_header(60_000, 60_000)), "million pixels"),
    "transparent": (lambda f: written(f, np.dstack([COLOUR, GREY]), "a.png"), "mode RGBA"),
    "black and white": (lambda f: written(f, GREY > 99, "a.png"), "mode 1"),
    "several": (animation, "holds 2 pictures"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_plain_picture_is_refused_without_a_name(case: str, tmp_path: Path) -> None:
    make, expected = REFUSED[case]
    with pytest.raises(DataError, match=expected) as caught:
        read_image(make(tmp_path))
    assert "a." not in str(caught.value).replace("a name", "")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_a_damaged_file_is_read_or_refused_and_never_another_error(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8), name)
    whole = path.read_bytes()
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for place in RNG.integers(0, min(len(whole), 400), 3):
            damaged[place] = RNG.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            read_image(path)
        except DataError:
            refused += 1
    assert refused > 5
