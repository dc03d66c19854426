"""Ids of prompts and completions, and their probabilities, without any tokenizer."""

import pytest
import torch
from torch.nn import functional
from transformers import GraniteConfig, GraniteForCausalLM, LlamaConfig, LlamaForCausalLM

from common.tasks import Example
from common.tasks._completion import CHUNK_TOKENS, joined, token_scores
from common.tasks.causal_lm import CausalLm


@pytest.mark.parametrize("max_length", [4, 5, 8, 12, 40])
@pytest.mark.parametrize("start", [(), (1,)])
@pytest.mark.parametrize("sizes", [(0, 1), (3, 2), (30, 3), (3, 30), (0, 30)])
def test_the_prompt_s_beginning_goes_first(sizes: tuple[int, int], start: tuple[int, ...], max_length: int) -> None:
    prompt, completion = tuple(range(100, 100 + sizes[0])), tuple(range(200, 200 + sizes[1]))
    ids, kept = joined(start, prompt, completion, max_length=max_length, end=2)
    assert len(ids) <= max_length
    assert 0 < kept < len(ids)
    assert ids[-kept:] == completion[:kept]
    before = ids[:-kept]
    assert before[: len(start)] == start
    rest = before[len(start) :]
    assert rest == prompt[len(prompt) - len(rest) :] or (rest == (2,) and not prompt and not start)
    if kept < len(completion):
        assert len(ids) == max_length
        assert len(before) == 1
    elif rest != prompt and prompt:
        assert len(ids) == max_length


def test_another_decoder_s_scaled_logits_are_its_own() -> None:
    """What a model does to its output layer's logits, as Cohere and Granite do, still holds."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"vocab_size": 20, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.5}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        scaled = GraniteForCausalLM(GraniteConfig(**sizes, **ends, logits_scaling=3.0)).eval()
        plain = LlamaForCausalLM(LlamaConfig(**sizes, **ends)).eval()
    long = tuple(3 + place * place % 17 for place in range(CHUNK_TOKENS + 7))
    examples = [Example((1, 5, 6, 7, 2), 3), Example((1, *long), len(long)), Example((1, 9, 2), 1)]
    batch = CausalLm().collate(examples, pad_id=0)
    for model in (scaled, plain):
        with torch.inference_mode():
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            expected = functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch["targets"][:, 1:].flatten())
            found = CausalLm().loss(token_scores(model, batch), batch)
        assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_a_row_is_exact_if_every_token_of_its_completion_is_the_likeliest() -> None:
    batch = CausalLm().collate([Example((1, 5, 6, 2), 2), Example((1, 9, 4, 2), 3), Example((1, 2), 1)], pad_id=0)
    likelihood = torch.tensor([[0, 0, -1.0, -0.5], [0, -2.0, -0.25, 0], [0, -3.0, 0, 0]])
    right = torch.tensor([[0, 0, 1.0, 1.0], [0, 0, 1.0, 1.0], [0, 0, 0, 0]])
    found = CausalLm().scores(torch.stack((likelihood, right), dim=-1), batch)
    rows = [[1, 2, 1.5, 2, 1, 0.75], [1, 3, 2.25, 2, 0, 0.75], [1, 1, 3.0, 0, 0, 3.0]]
    assert found.tolist() == rows
    assert found.dtype == torch.float64
