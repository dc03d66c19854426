import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from common.errors import ModelError
from common.models import load_base, load_tokenizer
from simulations.catalogue import base_folder, load


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the generated model that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_loaded_model_is_the_file_frozen(attention: str, tiny_model: Path) -> None:
    model = load_base(tiny_model, attention=attention)
    stored = safetensors.torch.load_file(tiny_model / "model.safetensors")
    found = model.state_dict()
    assert set(stored) - set(found) == {"pooler.dense.weight", "pooler.dense.bias"}
    assert all(torch.equal(found[name], stored[name]) for name in found)
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(module.training for module in model.modules())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.config._attn_implementation == attention


def test_half_precision_weights_are_computed_with_in_float32(folder: Path) -> None:
    stored = safetensors.torch.load_file(folder / "model.safetensors")
    halves = {name: tensor.half() for name, tensor in stored.items()}
    safetensors.torch.save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    assert {p.dtype for p in load_base(folder).parameters()} == {torch.float32}


def test_a_pickle_is_not_loaded(folder: Path) -> None:
    torch.save(safetensors.torch.load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="'model' does not load"):
        load_base(folder)


def test_code_beside_a_model_is_not_run(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    content["auto_map"] = {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "evil.py").write_text(f"open({str(folder / 'was-run')!r}, 'w')")
    load_base(folder)
    assert not (folder / "was-run").exists()


def test_a_damaged_tokenizer_is_a_model_error(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version"')
    with pytest.raises(ModelError, match="does not load"):
        load_tokenizer(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("length", [0, 40])
def test_a_damaged_file_is_a_model_error(name: str, length: int, folder: Path) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:length])
    with pytest.raises(ModelError, match="base model in 'model' does not load: ") as error:
        load_base(folder)
    assert "\n" not in str(error.value)


def test_weights_of_another_configuration_are_a_model_error(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "hidden_size": 64}))
    with pytest.raises(ModelError, match="does not load"):
        load_base(folder)


def test_weights_that_are_missing_are_not_made_up(folder: Path) -> None:
    stored = safetensors.torch.load_file(folder / "model.safetensors")
    del stored["encoder.layer.1.attention.self.query.weight"]
    safetensors.torch.save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 'encoder\.layer\.1\.attention\.self\.query\.weight' .*\(1 such\)"):
        load_base(folder)


def test_a_tokenizer_reads_what_the_model_knows(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    ids = tokenizer("fever and cough")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "fever", "and", "cough", "[SEP]"]


def test_a_missing_tokenizer_is_a_model_error(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        load_tokenizer(folder)


def test_a_model_of_another_kind_than_the_task_needs_is_named(tmp_path: Path) -> None:
    folder = base_folder(load("quick-images"), tmp_path)
    with pytest.raises(ModelError, match="can this 'vit' do what the task needs, encoder"):
        load_base(folder)
