"""Pictures of three made-up clinics, striped or blotched, in grey of 8 and 16 bits and in colour."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.files import write_bytes
from common.seeds import generator
from simulations.builtin_rows._tables import write_table

SEED = 4
LABELS = ("blotched", "striped")
NOISE = 0.35
"""Standard deviation of each pixel's noise, beside a pattern between 0 and 1."""
MISTAKEN = 0.05
"""Share of rows with the other label: the rows can be learned, and not perfectly."""


@dataclass(frozen=True)
class Clinic:
    """A generated site: number of images, share of striped ones, and size and depth of what its scanner writes."""

    name: str
    rows: int
    striped: float
    size: tuple[int, int]
    mode: str


CLINICS = (
    Clinic("east", 60, 0.5, (40, 36), "L"),
    Clinic("north", 45, 0.7, (33, 47), "I;16"),
    Clinic("west", 30, 0.35, (32, 32), "RGB"),
)


def rows() -> list[dict[str, str]]:
    """Return the generated rows: site, patient, image, pattern. Every fifth patient has two rows."""
    return [row for clinic in CLINICS for row, _ in _clinic(clinic)]


def _clinic(clinic: Clinic) -> list[tuple[dict[str, str], NDArray[np.float64]]]:
    """Return each row of a clinic with its picture, (height, width), most of it between 0 and 1."""
    rng = generator(SEED, site=clinic.name, purpose="quick images")
    numbers = [number for number in range(clinic.rows) for _ in range(2 if number % 5 == 0 else 1)][: clinic.rows]
    found = []
    for index, number in enumerate(numbers):
        pattern, other = LABELS if rng.random() >= clinic.striped else LABELS[::-1]
        row = {
            "site": clinic.name,
            "patient": f"{clinic.name}-{number + 1:02d}",
            "image": f"quick-images/{clinic.name}-{index + 1:02d}.png",
            "pattern": other if rng.random() < MISTAKEN else pattern,
        }
        found.append((row, _picture(pattern, clinic.size, rng)))
    return found


def _picture(pattern: str, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return stripes, or the product of two such, which are blotches, with noise over it."""
    down, across = np.mgrid[: size[0], : size[1]]
    phases = rng.uniform(0, 2 * np.pi, size=2)
    wave = rng.uniform(0.7, 0.9)
    stripes = np.sin(wave * across + phases[0])
    clean = stripes if pattern == "striped" else stripes * np.sin(wave * down + phases[1])
    return np.asarray(0.5 + 0.5 * clean + rng.normal(0, NOISE, size))


def png_of(picture: NDArray[np.float64], mode: str) -> bytes:
    """Return a picture between 0 and 1 as a PNG of mode L, I;16 or RGB, not packed: the same bytes everywhere."""
    from PIL import Image

    top, dtype = (65535, np.uint16) if mode == "I;16" else (255, np.uint8)
    grey = np.round(np.clip(picture, 0, 1) * top).astype(dtype)
    pixels = np.stack([grey, grey, grey // 2], axis=2) if mode == "RGB" else grey
    out = BytesIO()
    Image.fromarray(pixels).save(out, format="png", compress_level=0)
    return out.getvalue()


def write(folder: Path) -> Path:
    """Write `rows()` as CSV, and the images that they name beside it."""
    for clinic in CLINICS:
        for row, picture in _clinic(clinic):
            write_bytes(folder / row["image"], png_of(picture, clinic.mode), durable=False)
    return write_table(folder / "quick-images.csv", rows())
