"""Images as base models want them: the oracle is transformers' own image processors, those that use Pillow."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from common.base_files import digest_manifest, manifest
from common.errors import DataError, ModelError
from common.image_reader import ImageReader, read_preprocessor

PROCESSORS = {
    "vit": ViTImageProcessorPil(size={"height": 32, "width": 32}),
    "oblong": ViTImageProcessorPil(size={"height": 20, "width": 37}, resample=3),
    "deit": DeiTImageProcessorPil(size={"height": 37, "width": 37}, crop_size={"height": 32, "width": 32}),
    "clip": CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": 31, "width": 33}),
    "convnext": ConvNextImageProcessorPil(size={"shortest_edge": 28}),
    "convnext, large": ConvNextImageProcessorPil(size={"shortest_edge": 384}),
    "scaled only": ViTImageProcessorPil(size={"height": 8, "width": 8}, do_normalize=False),
    "normalised only": ViTImageProcessorPil(size={"height": 8, "width": 8}, do_rescale=False, image_mean=[90, 91, 92]),
}
SIZES = [(31, 45), (45, 31), (32, 32), (7, 90), (300, 211)]
RNG = np.random.default_rng(0)


def reader_of(folder: Path, content: dict[str, Any]) -> ImageReader:
    folder.mkdir(exist_ok=True)
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return read_preprocessor(folder)


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_are_those_of_transformers_own_processor(name: str, colour: bool, tmp_path: Path) -> None:
    processor: Any = PROCESSORS[name]
    processor.save_pretrained(tmp_path)
    reader = read_preprocessor(tmp_path)
    for size in SIZES:
        image = Image.fromarray(RNG.integers(0, 256, (*size, 3) if colour else size, dtype=np.uint8))
        pixels = reader.pixels(image)
        assert pixels.dtype == np.uint8
        assert pixels.shape == (*reader.size, 3)
        expected = processor(image.convert("RGB"), return_tensors="np")["pixel_values"][0]
        found = reader.normalisation.apply(pixels).transpose(2, 0, 1)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=2e-6, rtol=1e-6)


GREY = {"size": 6, "image_mean": [0.5], "image_std": [0.5]}


def test_a_model_of_one_channel_reads_colour_as_grey(tmp_path: Path) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    pixels = reader_of(tmp_path, GREY).pixels(image)
    np.testing.assert_array_equal(pixels[..., 0], np.asarray(image.convert("L").resize((6, 6), 2)))


WHOLE = {"size": {"height": 8, "width": 8}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no size": ({"size": None}, "not understood"),
    "no mean": ({"image_mean": None}, "not understood"),
    "images of all sizes": ({"do_resize": False}, "do_resize is false"),
    "uncropped": ({"size": {"shortest_edge": 9}}, "without do_center_crop"),
    "a crop above the size": ({"do_center_crop": True, "crop_size": 9}, "cannot be cropped"),
    "two channels": ({"image_mean": [0.5] * 2, "image_std": [0.5] * 2}, "1 or 3 channels"),
    "division by nothing": ({"image_std": [0.0] * 3}, "std above 0"),
    "no pixels": ({"size": {"height": 0, "width": 8}}, "cannot be cropped"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_configuration_that_is_not_understood_is_a_model_error(case: str, tmp_path: Path) -> None:
    change, expected = WRONG[case]
    with pytest.raises(ModelError, match=expected) as caught:
        reader_of(tmp_path / "vit", {**WHOLE, **change})
    assert str(tmp_path) not in str(caught.value)
    assert "'vit'" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"size": '])
def test_a_damaged_file_is_a_model_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(ModelError, match=r"preprocessor_config\.json"):
        read_preprocessor(tmp_path)


def test_a_folder_without_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no preprocessor_config\.json"):
        read_preprocessor(tmp_path)


def test_the_digest_of_a_base_model_fixes_how_images_are_read(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    reader_of(tmp_path, WHOLE)
    before = digest_manifest(manifest(tmp_path))
    reader_of(tmp_path, {**WHOLE, "size": {"height": 9, "width": 9}})
    assert digest_manifest(manifest(tmp_path)) != before


@pytest.mark.parametrize("size", [(1, 2_000_000), (2_000_000, 1)])
def test_an_image_that_resizing_would_make_huge_is_refused(size: tuple[int, int], tmp_path: Path) -> None:
    """2 MB unpacked, and 131 GB once its shorter side is 256."""
    content = {**WHOLE, "size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224}
    with pytest.raises(DataError, match="sides"):
        reader_of(tmp_path, content).pixels(Image.fromarray(np.zeros(size, dtype=np.uint8)))
