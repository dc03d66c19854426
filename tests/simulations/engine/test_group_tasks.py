"""Every task and every kind of base model: trained in a group as alone, packed where its blocks can be, else padded."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from common.tasks import Example
from common.workbench import Workbench
from simulations.engine.opening import can_pack

LORA = "peft={method='lora', rank=2, dropout=0.1}"
PREFIX = "peft={method='prefix', virtual_tokens=3}"
TASKS = ("quick", "quick-labels", "quick-scores", "quick-tokens", "quick-causal-lm", "quick-images")
ENCODERS = ("bert", "roberta", "electra", "distilbert")
METHODS = ("method='lora', rank=2", "method='bitfit'", "method='prefix', virtual_tokens=3")
NEAR_FLOAT32 = 1e-8
"""Of Llama, which computes norms and rotations in float32 whatever its weights are."""


def members_of(bench: Workbench, rows: Sequence[Sequence[Any]], member_of: Any) -> list[Any]:
    return [member_of(bench, number, part[: 9 - 3 * number]) for number, part in enumerate(rows[:3])]


@pytest.mark.parametrize("method", [LORA, PREFIX], ids=["lora", "prefix"])
@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_trained_as_alone(
    name: str, method: str, open_task: Any, member_of: Any, check_same: Any
) -> None:
    if name == "quick-images" and method == PREFIX:
        pytest.skip("an image has no place for virtual words")
    bench, rows = open_task(name, method)
    assert len(rows) > 1
    near = {"near": NEAR_FLOAT32} if name == "quick-causal-lm" else {}
    check_same(bench, members_of(bench, rows, member_of), packs=can_pack(bench), **near)
    if can_pack(bench):
        check_same(bench, members_of(bench, rows, member_of), packs=False)


def test_only_texts_for_encoders_are_packed(open_task: Any) -> None:
    assert {name for name in TASKS if can_pack(open_task(name)[0])} == set(TASKS) - {"quick-causal-lm", "quick-images"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ENCODERS)
def test_every_encoder_is_packed(
    kind: str, method: str, open_double: Callable[..., Workbench], some_members: Any, check_same: Any
) -> None:
    if kind == "distilbert" and "prefix" in method:
        pytest.skip("peft has no prefix for it")
    bench = open_double(f"peft={{{method}}}", kind=kind)
    assert can_pack(bench)
    check_same(bench, some_members(bench, clients=3), packs=True)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "electra"])
def test_other_models_are_padded(
    kind: str, open_double: Callable[..., Workbench], some_members: Any, check_same: Any
) -> None:
    bench = open_double(LORA, kind=kind)
    near = {"near": NEAR_FLOAT32} if kind == "llama" else {}
    check_same(bench, some_members(bench, clients=3), packs=False, **near)


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_a_decoder_takes_more_than_lora(
    method: str, open_double: Callable[..., Workbench], some_members: Any, check_same: Any
) -> None:
    bench = open_double(f"peft={{method={method!r}, virtual_tokens=3}}", kind="gpt2")
    check_same(bench, some_members(bench, clients=3), packs=False)


def test_images_are_trained_with_dropout(open_task: Any, member_of: Any, alone: Any) -> None:
    """So that equality of images says something of their dropout too."""
    bench, rows = open_task("quick-images", LORA)
    member = member_of(bench, 0, rows[0][:9])
    found = alone(bench, member)
    for module in bench.model.modules():
        if type(module).__name__ == "Dropout":
            module.p = 0.0
    assert alone(bench, member).trained.loss != pytest.approx(found.trained.loss, rel=1e-3)


def test_a_row_of_padding_would_be_noticed(
    open_double: Callable[..., Workbench], made_texts: Callable[..., list[Example]], member_of: Any, together: Any
) -> None:
    """A longer row at another client, which pads all others, changes no bit of a client's packed training."""
    bench = open_double(LORA)
    short, long = made_texts([5, 3, 4, 6, 3]), made_texts([5, 40, 4, 6, 3], seed=1)
    alone = together(bench, [member_of(bench, 0, short)], packs=True)["client-0"]
    beside = together(bench, [member_of(bench, 0, short), member_of(bench, 1, long)], packs=True)["client-0"]
    for name, array in alone.numbers.items():
        assert abs(array - beside.numbers[name]).max() < 1e-13
