import hashlib
from pathlib import Path

import torch

from common.image_reader import read_preprocessor
from common.models import hidden_size, load_base
from simulations.tiny_models.tiny_vit import write


def test_the_model_is_the_same_bytes_whatever_was_drawn_before(tmp_path: Path) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        write(tmp_path / str(seed))
        after = torch.rand(1)
        torch.manual_seed(seed)
        assert torch.equal(after, torch.rand(1))  # the global generator is left as it was
        found.append({p.name: hashlib.sha256(p.read_bytes()).digest() for p in (tmp_path / str(seed)).iterdir()})
    assert found[0] == found[1]
    assert set(found[0]) == {"config.json", "model.safetensors", "preprocessor_config.json"}


def test_the_model_loads_and_reads_what_its_preprocessor_makes(tmp_path: Path) -> None:
    write(tmp_path)
    model, reader = load_base(tmp_path, architecture="image", attention="sdpa"), read_preprocessor(tmp_path)
    with torch.inference_mode():
        states = model(pixel_values=torch.randn(2, reader.channels, *reader.size)).last_hidden_state
    assert hidden_size(model) == 32 == states.shape[2 if states.ndim == 3 else 1]
    assert torch.isfinite(states).all()
    assert not any("pooler" in name for name, _ in model.named_parameters())
