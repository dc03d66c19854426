"""Estimates of memory for images; those of texts are in test_preflight.py."""

from pathlib import Path

import pytest
import torch

from client.execution import Execution
from client.memory import activation_bytes, layer_output_bytes, needed_bytes
from common.image_reader import read_preprocessor
from common.models import empty_base, load_base
from common.state import AdapterSchema
from simulations.catalogue import base_folder, load


@pytest.mark.parametrize("name", ["quick-images", "quick-images-conv"])
def test_more_images_at_once_need_more_memory(name: str, tmp_path: Path) -> None:
    study = load(name)
    base = base_folder(study, tmp_path)

    def needed(batch_size: int) -> int:
        changed = study.model_copy(update={"training": study.training.model_copy(update={"batch_size": batch_size})})
        return needed_bytes(base, changed, AdapterSchema(()), Execution())

    twice = needed(32) - needed(16)
    assert twice > 0
    assert needed(64) - needed(32) == 2 * twice


def test_convolutions_keep_what_autograd_saves_of_them(tmp_path: Path) -> None:
    """The oracle: the bytes of tensors that autograd really saves, weights aside; the estimate is above, and close."""
    base = base_folder(load("quick-images-conv"), tmp_path)
    estimate = layer_output_bytes(empty_base(base, "image"), read_preprocessor(base), batch_size=4, bytes_per_number=4)
    model = load_base(base, architecture="image").train().requires_grad_(True)
    own = {tensor.data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            saved[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(pixel_values=torch.randn(4, 3, 32, 32))
    assert sum(saved.values()) < estimate < 3 * sum(saved.values())


def test_a_vit_s_positions_are_its_patches_and_one_more(tmp_path: Path) -> None:
    """32 x 32 pixels in patches of 8: 16 and a class token, whatever task.max_length says."""
    study = load("quick-images", overrides=["task.max_length=8"])
    execution = Execution(precision="fp32")
    base, schema = base_folder(study, tmp_path), AdapterSchema(())
    sizes = {"layers": 2, "width": 32, "heads": 2, "batch_size": 1, "bytes_per_number": 4}
    one, two = (
        needed_bytes(base, load("quick-images", overrides=[f"training.batch_size={n}"]), schema, execution)
        for n in (1, 2)
    )
    assert two - one == pytest.approx(activation_bytes(positions=17, **sizes), abs=1)
    assert needed_bytes(base, study, schema, execution) > one
