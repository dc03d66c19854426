from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import StudyError
from common.state import digest_state
from common.workbench import SHORTEST_TEXT, Workbench

Open = Callable[..., Workbench]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("task.max_length=48",), 48),
        (("task.max_length=500",), 128),
        (("task.max_length=48", "peft={method='prefix', virtual_tokens=80}"), 48),
        (("task.max_length=48", "peft={method='prefix', virtual_tokens=81}"), 47),
        (("task.max_length=500", "peft={method='prefix', virtual_tokens=25}"), 103),
        (("task.max_length=500", "peft={method='prefix', virtual_tokens=124}"), SHORTEST_TEXT),
    ],
)
def test_texts_get_what_virtual_tokens_leave_of_128_positions(
    overrides: tuple[str, ...], expected: int, open_bench: Open
) -> None:
    bench = open_bench(*overrides)
    assert bench.max_length == expected
    examples = bench.task.encode(bench.reader, ["fever " * 200], [0], max_length=bench.max_length)
    assert len(examples[0].input_ids) == expected
    with torch.inference_mode():  # the model has the positions
        bench.task.logits(bench.model, bench.head, bench.task.collate(examples, pad_id=0))


def test_a_method_that_leaves_no_room_is_the_user_s_mistake(open_bench: Open) -> None:
    with pytest.raises(StudyError, match="takes 125 of the base model's 128 positions"):
        open_bench("peft={method='prefix', virtual_tokens=125}")


def test_parameters_are_the_trainable_tensors_sorted(open_bench: Open) -> None:
    bench = open_bench()
    assert list(bench.parameters) == sorted(bench.parameters)
    frozen = [p for p in bench.model.parameters() if id(p) not in {id(q) for q in bench.parameters.values()}]
    assert not any(p.requires_grad for p in frozen)
    assert bench.base_parameters == sum(p.numel() for p in frozen)


def test_what_is_read_is_a_copy(open_bench: Open) -> None:
    bench = open_bench()
    before = digest_state(bench.read())
    for array in bench.read().values():
        array += 1
    assert digest_state(bench.read()) == before


def test_what_is_written_may_be_read_only_and_is_left_alone(open_bench: Open) -> None:
    """Arrays of other processes come so; torch warns of them, and a warning is an error here."""
    bench = open_bench()
    state = bench.read()
    for array in state.values():
        array += 1
        array.flags.writeable = False
    bench.write(state)
    assert digest_state(bench.read()) == digest_state(state)
    with torch.no_grad():
        next(iter(bench.parameters.values())).zero_()
    assert not all((array == 0).all() for array in state.values())


def test_scalars_and_transposed_arrays_are_written_in_their_shape(open_bench: Open) -> None:
    parameters = {"a": nn.Parameter(torch.zeros(())), "b": nn.Parameter(torch.zeros(2, 3))}
    bench = replace(open_bench(), parameters=parameters)
    bench.write({"a": np.array(3.0, np.float32), "b": np.arange(6, dtype=np.float32).reshape(3, 2).T})
    found = bench.read()
    assert (found["a"].shape, float(found["a"])) == ((), 3.0)
    assert found["b"].tolist() == [[0, 2, 4], [1, 3, 5]]


def test_what_a_state_carries_is_read_back_and_gone_with_the_next(open_bench: Open) -> None:
    """Virtual sites share a bench: what one was sent, the next must not have."""
    bench = open_bench()
    own, rng = bench.read(), np.random.default_rng(0)
    pair = next(name for name in own if name.endswith("lora_A.weight"))
    carried = {
        f"carried.{pair}": rng.normal(size=(3, 32)).astype(np.float32),
        f"carried.{pair.replace('lora_A', 'lora_B')}": rng.normal(size=(32, 3)).astype(np.float32),
    }
    bench.write({**own, **carried})
    assert digest_state(bench.read()) == digest_state({**own, **carried})
    bench.write(own)
    assert digest_state(bench.read()) == digest_state(own)
