"""The numbers of image classification: what is pooled, what is kept in memory, and what is refused."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from common import plugins
from common.errors import DataError, StudyError
from common.image_reader import ImageReader, Normalisation
from common.models import load_base
from common.tasks._images import image_features
from common.tasks.image_classification import ImageClassification
from simulations.tiny_models import tiny_resnet, tiny_vit

TASK = ImageClassification(labels=("no", "yes"))
READER = ImageReader((4, 6), (4, 6), 2, Normalisation(1 / 255, (0.5, 0.4, 0.3), (0.5, 0.25, 0.125)))


class Stated(nn.Module):
    """A base model that always says these states."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.states)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    for name in "ab":
        Image.fromarray(rng.integers(0, 256, (9, 5, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    return [str(tmp_path / f"{name}.png") for name in "ab"]


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 3, 4, 5)], ids=["patches", "grid"])
def test_features_are_the_mean_over_all_positions_in_full_precision(shape: tuple[int, ...]) -> None:
    """A sequence is (batch, positions, hidden), a grid (batch, hidden, height, width)."""
    states = torch.randn(shape, generator=torch.manual_seed(0)).bfloat16()
    plain = states.double().numpy()
    expected = plain.mean(axis=1) if len(shape) == 3 else plain.mean(axis=(2, 3))
    found = image_features(Stated(states), torch.zeros(2, 3, 4, 6))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_examples_keep_bytes_and_a_batch_is_normalised(files: list[str]) -> None:
    examples = TASK.encode(READER, files, np.array([1, 0]), max_length=4)
    assert [(e.pixels.dtype, e.pixels.shape, e.length, e.target) for e in examples] == [
        (np.uint8, (4, 6, 3), 1, 1),
        (np.uint8, (4, 6, 3), 1, 0),
    ]
    batch = TASK.collate(examples, pad_id=0)
    pixels = np.stack([e.pixels for e in examples]).astype(np.float64)
    expected = (pixels / 255 - [0.5, 0.4, 0.3]) / [0.5, 0.25, 0.125]
    assert batch["pixel_values"].dtype == torch.float32
    np.testing.assert_allclose(batch["pixel_values"].numpy(), expected.transpose(0, 3, 1, 2), atol=1e-5)
    assert batch["targets"].tolist() == [1, 0]


def test_a_file_that_went_bad_after_the_rows_were_read_is_said_without_its_name(files: list[str]) -> None:
    Path(files[1]).write_bytes(b"gone")
    with pytest.raises(DataError, match=r"^image 2 of 2: ") as caught:
        TASK.encode(READER, files, None, max_length=4)
    assert "b.png" not in str(caught.value)


def test_labels_are_checked() -> None:
    with pytest.raises(ValueError, match="at least 2 labels"):
        ImageClassification(labels=("one",))


@pytest.mark.parametrize("make", [tiny_vit, tiny_resnet])
@pytest.mark.parametrize("method", ["prefix", "prompt", "p-tuning"])
def test_methods_of_text_are_refused_in_one_line(method: str, make: object, tmp_path: Path) -> None:
    make.write(tmp_path)  # type: ignore[attr-defined] # a module of simulations.tiny_models
    with pytest.raises(
        StudyError, match=r"puts virtual tokens into a text, and the base model .* reads none"
    ) as caught:
        plugins.build("common.peft_methods", method, {}, key="peft.method").attach(
            load_base(tmp_path, architecture="image")
        )
    assert "\n" not in str(caught.value)
