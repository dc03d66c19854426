import hashlib
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from simulations.builtin_rows.quick_notes import rows
from simulations.tiny_models.tiny_llama import vocabulary, write


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_model_is_the_same_bytes_whatever_was_drawn_before(tmp_path: Path) -> None:
    torch.manual_seed(1)
    write(tmp_path / "a")
    after_first = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after_first, torch.rand(1))  # the global generator is left as it was
    write(tmp_path / "b")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    files = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert files == set(digests(tmp_path / "a"))


def test_the_model_loads_and_reads_and_writes_the_words_of_the_rows(tmp_path: Path) -> None:
    write(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True, use_safetensors=True)
    texts = [f"{row['age']} {row['note']} => {row['reply']}" for row in rows()]
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    assert tokenizer.unk_token_id not in encoded["input_ids"]
    assert encoded["input_ids"].shape[1] <= 62
    assert (encoded["input_ids"][:, 0] == tokenizer.bos_token_id).all()
    assert model.config.vocab_size == len(vocabulary()) == len(set(vocabulary()))
    assert torch.isfinite(model.eval()(**encoded).logits).all()
    replies = tokenizer([row["reply"] for row in rows()])["input_ids"]
    assert tokenizer.batch_decode(replies, skip_special_tokens=True) == [row["reply"] for row in rows()]
