"""Rows without padding: a packed forward pass says what a padded one says, and nothing of padding leaks."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from client.dropout import CpuStream
from common.peft_methods import _targets
from common.tasks import Example
from common.workbench import Workbench
from simulations.engine.group import base_of
from simulations.engine.layout import Here, Layout
from simulations.engine.opening import can_pack
from simulations.engine.packing import Packing
from simulations.engine.streams import GroupedStreams

CLIENTS = ([9, 4, 12, 7], [5], [3, 3], [13, 2, 6])
METHODS = ("method='lora', rank=2", "method='prefix', virtual_tokens=3", "method='prompt', virtual_tokens=3")
KINDS = ("bert", "roberta", "electra", "distilbert")
Open = Callable[..., Workbench]


def packing_of(bench: Workbench, lengths: Sequence[Sequence[int]]) -> Packing:
    here = Here(Layout(tuple(tuple(each) for each in lengths)))
    streams = GroupedStreams([CpuStream(client) for client in range(len(lengths))], here)
    return Packing(here, streams, base_of(bench), [block for _, block in _targets.blocks(bench.model)])


def batch_of(bench: Workbench, examples: Sequence[Sequence[Example]], *, pad_id: int = 0) -> Any:
    return bench.task.collate([example for each in examples for example in each], pad_id=pad_id)


def lengths_of(examples: Sequence[Sequence[Example]]) -> list[list[int]]:
    return [[example.length for example in each] for each in examples]


@pytest.fixture
def examples(made_texts: Callable[..., list[Example]]) -> list[list[Example]]:
    return [made_texts(each, seed=number) for number, each in enumerate(CLIENTS)]


def logits(bench: Workbench, batch: Any) -> Tensor:
    return bench.task.logits(bench.model.eval(), bench.head.eval(), batch)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_packed_rows_say_what_padded_rows_say(
    kind: str, method: str, open_double: Open, examples: list[list[Example]]
) -> None:
    if kind == "distilbert" and "virtual" in method:
        pytest.skip("peft has no virtual tokens for it")
    bench = open_double(f"peft={{{method}}}", kind=kind)
    assert can_pack(bench)
    batch = batch_of(bench, examples)
    padded = logits(bench, batch)
    with packing_of(bench, lengths_of(examples)).at_work():
        packed = logits(bench, batch)
    torch.testing.assert_close(packed, padded, rtol=1e-12, atol=1e-12)


def test_blocks_see_no_padding(open_double: Open, examples: list[list[Example]]) -> None:
    bench, seen = open_double("peft={method='lora', rank=2}"), []
    tokens = sum(size for each in CLIENTS for size in each)
    blocks = [block for _, block in _targets.blocks(bench.model)]
    hooks = [b.register_forward_hook(lambda _, args, out: seen.append(args[0].shape)) for b in blocks]
    with packing_of(bench, CLIENTS).at_work():
        logits(bench, batch_of(bench, examples))
    for hook in hooks:
        hook.remove()
    assert seen == [(1, tokens, 16)] * len(blocks)


@pytest.mark.parametrize("method", METHODS)
def test_what_stands_in_padding_matters_to_nothing(
    method: str, open_double: Open, examples: list[list[Example]]
) -> None:
    """Neither to what is said nor to a gradient, not even where it is not finite."""
    bench = open_double(f"peft={{{method}}}")
    found = []
    for pad_id, spoiled in ((0, False), (7, False), (7, True)):
        for parameter in bench.parameters.values():
            parameter.grad = None
        batch = batch_of(bench, examples, pad_id=pad_id)
        padding, hooks = batch["attention_mask"] == 0, []
        if spoiled:

            def spoil(_: nn.Module, __: Any, out: Tensor, at: Tensor = padding) -> Tensor:
                return out.masked_fill(at[:, :, None], float("nan"))

            hooks = [bench.model.get_input_embeddings().register_forward_hook(spoil)]
        with packing_of(bench, CLIENTS).at_work():
            said = logits(bench, batch)
        bench.task.loss(said, batch).backward()
        for hook in hooks:
            hook.remove()
        found.append([said.detach(), *(p.grad.clone() for p in bench.parameters.values() if p.grad is not None)])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_one_client_s_rows_matter_to_no_other(open_double: Open, examples: list[list[Example]]) -> None:
    bench = open_double("peft={method='lora', rank=2}")
    with packing_of(bench, CLIENTS).at_work():
        whole = logits(bench, batch_of(bench, examples))
        changed = [examples[0], [Example((9, 8, 7, 6, 5), 0)], *examples[2:]]
        other = logits(bench, batch_of(bench, changed))
    rows = np.repeat(np.arange(len(CLIENTS)), [len(each) for each in CLIENTS])
    assert torch.equal(whole[rows != 1], other[rows != 1])
    assert not torch.equal(whole[rows == 1], other[rows == 1])


@pytest.mark.parametrize("fails", [False, True])
def test_afterwards_the_model_is_as_before(fails: bool, open_double: Open, examples: list[list[Example]]) -> None:
    bench = open_double("peft={method='prefix', virtual_tokens=3}")
    batch, base = batch_of(bench, examples), base_of(bench)
    before, attention = logits(bench, batch), base.config._attn_implementation
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in bench.model.modules()]
    packing = packing_of(bench, CLIENTS)
    try:
        with packing.at_work():
            logits(bench, batch)
            if fails:
                raise LookupError
    except LookupError:
        pass
    assert base.config._attn_implementation == attention
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in bench.model.modules()] == hooks
    assert packing.here.blocks == ()
    assert packing.here.tokens is None
    assert packing.rows is None
    assert torch.equal(logits(bench, batch), before)
