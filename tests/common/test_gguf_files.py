"""A tiny decoder goes to GGUF, as llama.cpp names and orders its tensors, and comes back the same."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from common.base_files import manifest
from common.command import main
from common.errors import ModelError
from common.gguf_files import convert, gguf_in
from common.models import load_base
from common.tasks.causal_lm import CausalLm
from simulations.tiny_models import tiny_llama

WORDS = ["<pad>", "<s>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz", "Ġ", "Ċ", "Ġa", "fe", "ve", "feve"]
MERGES = ["Ġ a", "f e", "v e", "fe ve"]
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A Llama with tied weights, whose numbers bfloat16 holds exactly."""
    folder = tmp_path_factory.mktemp("original")
    tiny_llama.write(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(WORDS), mean_resizing=False)
    for parameter in model.requires_grad_(False).parameters():
        parameter.copy_(parameter.bfloat16().float())
    return model.eval()


@pytest.fixture(scope="module")
def file(original: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    gguf = pytest.importorskip("gguf", reason="the package gguf is not installed: pip install 'fedpeft[gguf]'")
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    config, writer = original.config, gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_types([3, 3, 3, 2, *[1] * (len(WORDS) - 4)])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    for name, tensor in original.named_parameters():
        writer.add_tensor(*as_llama_cpp(name, tensor.detach().numpy(), original.config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def as_llama_cpp(name: str, array: np.ndarray, config: Any) -> tuple[str, np.ndarray]:
    """Return llama.cpp's name, and its order of rows: halves of a head's rotary pairs side by side."""
    outer = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in outer:
        return outer[name], array
    _, _, block, *inner, last = name.split(".")
    short = NAMES[".".join(inner)]
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(short)
    if heads is not None:
        array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
    return f"blk.{block}.{short}.{last}", np.ascontiguousarray(array)


def test_what_is_converted_says_the_same(original: Any, file: Path, tmp_path: Path) -> None:
    convert(file, tmp_path / "model")
    assert set(manifest(tmp_path / "model")) >= {"model.safetensors", "config.json", "tokenizer.json"}
    found: Any = load_base(tmp_path / "model", architecture="causal-lm")
    ids = torch.arange(len(WORDS)).reshape(2, -1)
    with torch.inference_mode():
        torch.testing.assert_close(found(input_ids=ids).logits, original(input_ids=ids).logits)
    assert found.lm_head.weight is found.model.embed_tokens.weight
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["architectures"] == ["LlamaForCausalLM"]


def test_its_tokenizer_comes_along(file: Path, tmp_path: Path) -> None:
    convert(file, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model", local_files_only=True)
    words = [WORDS[index] for index in tokenizer("feve a\n", add_special_tokens=False)["input_ids"]]
    assert words == ["feve", "Ġa", "Ċ"]
    assert CausalLm().open_reader(tmp_path / "model").eos_token == "</s>"


def test_the_command_prints_the_line_for_the_study(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    with pytest.raises(SystemExit, match="0"):
        main(["base-model", "convert-gguf", str(file.parent), "--out", str(folder)])
    (line,) = capsys.readouterr().out.splitlines()
    with pytest.raises(SystemExit, match="0"):
        main(["base-model", "digest", str(folder)])
    assert line == f'base_model = {{ source = "dir:{folder}", digest = "{capsys.readouterr().out.strip()}" }}'
    assert main(["base-model", "convert-gguf", str(file), "--out", str(folder)]) == 2
    assert "not an empty folder" in capsys.readouterr().err


def test_no_gguf_is_the_user_s_mistake(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="the package gguf is not installed: pip install 'fedpeft[gguf]'")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF and nothing else")
    with pytest.raises(ModelError, match=r"broken.gguf does not load"):
        convert(tmp_path / "broken.gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_has_one_file_or_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="found 0 files"):
        gguf_in(tmp_path)
    (tmp_path / "a.gguf").touch()
    assert gguf_in(tmp_path) == gguf_in(tmp_path / "a.gguf") == tmp_path / "a.gguf"
    (tmp_path / "b.gguf").touch()
    with pytest.raises(ModelError, match="found 2 files"):
        gguf_in(tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("gguf") is not None, reason="the package gguf is installed")
def test_without_the_package_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").touch()
    with pytest.raises(ModelError, match=r"pip install 'fedpeft\[gguf\]'"):
        convert(tmp_path / "a.gguf", tmp_path / "out")
