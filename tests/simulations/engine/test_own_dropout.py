"""Whether attention drops its weights is read off a config: against what the model of that config does."""

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import transformers as hf
from torch.nn import functional

from client.execution import Execution
from simulations.engine.own_dropout import drops_weights, with_own_dropout

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
TEXT = {"vocab_size": 9, "pad_token_id": 0}
GPU = Execution("cuda:0", "bf16", "sdpa")
CONFIGS: dict[str, Any] = {
    "bert": lambda p: hf.BertConfig(**TEXT, **SIZES, attention_probs_dropout_prob=p),
    "roberta": lambda p: hf.RobertaConfig(**TEXT, **SIZES, attention_probs_dropout_prob=p),
    "distilbert": lambda p: hf.DistilBertConfig(
        **TEXT, dim=8, n_layers=1, n_heads=2, hidden_dim=8, attention_dropout=p
    ),
    "modernbert": lambda p: hf.ModernBertConfig(**TEXT, **SIZES, attention_dropout=p, cls_token_id=1, sep_token_id=2),
    "gpt2": lambda p: hf.GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2, attn_pdrop=p),
    "llama": lambda p: hf.LlamaConfig(**TEXT, **SIZES, attention_dropout=p, bos_token_id=1, eos_token_id=2),
    "vit": lambda p: hf.ViTConfig(**SIZES, image_size=4, patch_size=2, attention_probs_dropout_prob=p),
}
"""Each with the dropout of everything else left at its default."""


@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("kind", CONFIGS)
def test_it_is_said_of_those_whose_fused_attention_is_told_to_drop(kind: str, p: float) -> None:
    config = CONFIGS[kind](p)
    model = hf.AutoModel.from_config(config, attn_implementation="sdpa").train()
    told: list[float] = []
    real = functional.scaled_dot_product_attention

    def watched(*args: Any, **kwargs: Any) -> torch.Tensor:
        told.append(kwargs["dropout_p"])
        return real(*args, **kwargs)

    inputs = {"pixel_values": torch.ones(1, 3, 4, 4)} if kind == "vit" else {"input_ids": torch.tensor([[3, 4, 5]])}
    with mock.patch("torch.nn.functional.scaled_dot_product_attention", watched):
        model(**inputs)
    assert told == [p]
    assert drops_weights(config) is (p > 0)


@pytest.mark.parametrize(("p", "expected"), [(0.3, "eager"), (0.0, "sdpa")])
def test_attention_is_in_plain_steps_where_its_weights_are_dropped(p: float, expected: str, tmp_path: Path) -> None:
    CONFIGS["bert"](p).save_pretrained(tmp_path)
    found = with_own_dropout(GPU, tmp_path, "encoder")
    assert (found.attention, found.device, found.precision) == (expected, "cuda:0", "bf16")


def test_on_a_cpu_it_is_already_and_no_config_is_read(tmp_path: Path) -> None:
    assert with_own_dropout(Execution(), tmp_path / "nothing", "encoder") == Execution()
