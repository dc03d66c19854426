"""Gradients of single rows: each engine against one backward pass for each row, and what is wrong is not used."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from client.execution import Execution
from client.functional_gradients import FunctionalGradients
from client.hooked_gradients import HookedGradients
from client.private_check import checked_engine
from client.row_gradients import slow_gradients
from client.training import set_active
from common import plugins
from common.errors import StudyError
from common.state import digest_state
from common.study import Study
from common.tasks import Example
from common.workbench import Workbench

Open = Callable[..., Workbench]
Make = Callable[..., Study]
TEXTS = (
    "fever and cough",
    "rash",
    "pulse normal, sleep reduced and fever",
    "sprain, weight better and chills",
    "cough",
)
METHODS = [
    *(f"method={name!r}" for name in plugins.available("common.peft_methods")),
    "method='lora', dora=true",
    "method='prefix', projection=4",
    "method='p-tuning', virtual_tokens=4, units=4, encoder='lstm'",
    "method='bottleneck', placement='pfeiffer'",
]
HOOKED_ARE_WRONG = ("method='full'", "method='prompt'", "method='p-tuning'")
"""By far, without a word: embeddings that are not called with the rows as their first axis."""


def examples_of(bench: Workbench) -> list[Example]:
    return bench.task.encode(bench.reader, TEXTS, [1, 0, 1, 0, 1], max_length=bench.max_length)


def moved(bench: Workbench) -> Workbench:
    """Every tensor off its start, where none has a gradient of 0; all require one."""
    set_active(bench, bench.parameters)
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in bench.parameters.values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=drawn))
    bench.model.eval()
    bench.head.eval()
    return bench


def error(start: Any, bench: Workbench) -> float:
    """The largest difference of any number to the slow way's, over the largest number."""
    wanted = slow_gradients(bench, examples_of(bench), Execution())
    engine = start(bench, Execution())
    try:
        losses, found = engine.of(examples_of(bench))
    finally:
        engine.close()
    assert losses.shape == (len(TEXTS),)
    largest = max(float(each.abs().max()) for each in wanted.values())
    assert set(found) == set(wanted)
    return max(float((found[name] - wanted[name]).abs().max()) for name in wanted) / largest


@pytest.mark.parametrize("method", METHODS)
def test_a_method_has_an_engine_that_is_right_or_is_refused_by_name(
    method: str, open_bench: Open, make_study: Make
) -> None:
    override = f"peft={{{method}}}"
    bench, study = open_bench(override), make_study(override)
    if "adalora" in method:
        with pytest.raises(StudyError, match="'adalora' prunes by gradients that are not clipped"):
            checked_engine(study, bench, examples_of(bench), Execution())
        return
    before = digest_state(bench.read())
    start = checked_engine(study, bench, examples_of(bench), Execution())
    assert digest_state(bench.read()) == before
    assert error(start, moved(bench)) < 1e-5


@pytest.mark.parametrize("method", HOOKED_ARE_WRONG)
def test_hooks_alone_would_be_silently_wrong_where_the_check_turns_to_the_other_engine(
    method: str, open_bench: Open, make_study: Make
) -> None:
    override = f"peft={{{method}}}"
    bench = open_bench(override)
    assert error(HookedGradients.start, moved(bench)) > 0.05
    assert checked_engine(make_study(override), bench, examples_of(bench), Execution()) == FunctionalGradients.start


def test_lora_takes_the_faster_engine(open_bench: Open, make_study: Make) -> None:
    bench = open_bench("peft={method='lora'}")
    assert checked_engine(make_study(), bench, examples_of(bench), Execution()) == HookedGradients.start


@pytest.mark.parametrize("method", ["method='lora'", "method='ia3'"])
def test_both_engines_work_in_bf16(method: str, open_bench: Open, make_study: Make) -> None:
    bench, execution = open_bench(f"peft={{{method}}}"), Execution(precision="bf16")
    start = checked_engine(make_study(f"peft={{{method}}}"), bench, examples_of(bench), execution)
    engine = start(moved(bench), execution)
    _, found = engine.of(examples_of(bench))
    engine.close()
    assert all(each.isfinite().all() for each in found.values())


def test_hooks_are_gone_afterwards(open_bench: Open) -> None:
    bench = moved(open_bench())
    modules = [*bench.model.modules(), *bench.head.modules()]
    before = [len(module._forward_hooks) + len(module._backward_hooks) for module in modules]
    engine = HookedGradients.start(bench, Execution())
    engine.of(examples_of(bench))
    engine.close()
    assert [len(module._forward_hooks) + len(module._backward_hooks) for module in modules] == before
    assert all(not hasattr(p, "grad_sample") and p.grad is None for p in bench.parameters.values())


def test_a_row_s_gradient_does_not_depend_on_its_neighbours(open_bench: Open) -> None:
    """Padding, and means over a batch's targets, would let one patient's rows change another's."""
    bench = moved(open_bench())
    for start in (HookedGradients.start, FunctionalGradients.start):
        engine = start(bench, Execution())
        _, together = engine.of(examples_of(bench))
        _, alone = engine.of(examples_of(bench)[:1])
        engine.close()
        for name, each in alone.items():
            np.testing.assert_allclose(together[name][0].numpy(), each[0].numpy(), rtol=1e-3, atol=1e-6)


def test_a_tensor_that_only_noise_would_move_is_named(open_bench: Open, make_study: Make) -> None:
    bench = open_bench()
    unused = torch.nn.Parameter(torch.ones(3))
    with_unused = replace(bench, parameters={**bench.parameters, "z.unused": unused})
    bench.model.register_parameter("unused", unused)
    with pytest.raises(StudyError, match=re.escape("'z.unused' has no gradient on any row looked at (1 such")):
        checked_engine(make_study(), with_unused, examples_of(bench), Execution())


def test_an_engine_that_gives_what_is_no_number_is_not_taken(
    open_bench: Open, make_study: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not-a-number is not above any tolerance, and no number is above it."""

    class Broken:
        def __init__(self, bench: Workbench, execution: Execution) -> None:
            self.inner = FunctionalGradients.start(bench, execution)

        def of(self, examples: Any) -> Any:
            losses, found = self.inner.of(examples)
            last = list(found)[-1]
            return losses, {**found, last: found[last] * torch.nan}

        def close(self) -> None:
            self.inner.close()

    monkeypatch.setattr("client.private_check.ENGINES", (Broken, FunctionalGradients.start))
    bench = open_bench()
    assert checked_engine(make_study(), bench, examples_of(bench), Execution()) == FunctionalGradients.start
