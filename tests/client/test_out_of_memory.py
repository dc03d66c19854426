"""Memory that cannot be had: one line for the site, a fixed word for the server, and another try later."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from client.execution import Execution
from client.out_of_memory import advice, is_out_of_memory, told_when_out_of_memory
from client.trainer import Trainer
from common.errors import RefusedError
from common.protocol import Refusal, Reply, Request
from common.study import Study

Make = Callable[..., Trainer]
Ask = Callable[..., Request]


class Greedy:
    """A task whose losses want more memory than there is, until it is `mended`; the failure is torch's own."""

    def __init__(self, inner: Any, failure: Callable[[], object]) -> None:
        self._inner, self._failure, self.mended = inner, failure, False

    def loss(self, logits: Any, batch: Any) -> Any:
        if not self.mended:
            self._failure()
        return self._inner.loss(logits, batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def too_much_on_a_cpu() -> object:
    return torch.empty(2**60, dtype=torch.uint8)


def too_much_on_a_gpu() -> object:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1024.00 GiB.")


def too_much_on_metal() -> object:
    raise RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB, other allocations: 1.00 GB)")


def too_much_for_python() -> object:
    raise MemoryError


FAILURES = {
    "cpu": too_much_on_a_cpu,
    "gpu": too_much_on_a_gpu,
    "metal": too_much_on_metal,
    "python": too_much_for_python,
}


@pytest.mark.parametrize("name", FAILURES)
def test_it_is_one_line_at_the_site_and_one_word_outside(
    name: str, make_trainer: Make, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make_trainer("training.batch_size=8")
    task = Greedy(trainer.bench.task, FAILURES[name])
    trainer = replace(trainer, bench=replace(trainer.bench, task=task))  # type: ignore[arg-type] # by delegation
    with caplog.at_level(logging.WARNING):
        assert trainer.answer(ask(trainer.bundle)) == Refusal("OUT_OF_MEMORY")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert lines[0].startswith("OUT_OF_MEMORY: cpu has no room")
    for part in ("batch_size = 8", "accumulate = 2", "max_length = ", "precision = 'bf16'"):
        assert part in lines[0]


def test_a_site_that_has_found_memory_answers_the_same_question(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    expected = trainer.answer(ask(trainer.bundle))
    other = make_trainer(home="other")
    task = Greedy(other.bench.task, too_much_on_a_gpu)
    other = replace(other, bench=replace(other.bench, task=task))  # type: ignore[arg-type] # by delegation
    assert other.answer(ask(other.bundle)) == Refusal("OUT_OF_MEMORY")
    task.mended = True
    found = other.answer(ask(other.bundle))
    assert isinstance(found, Reply)
    assert isinstance(expected, Reply)
    assert all((found.update[name] == expected.update[name]).all() for name in expected.update)


def test_another_failure_stays_what_it_is(make_study: Callable[..., Study]) -> None:
    def fail() -> object:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes"):
        told_when_out_of_memory(fail, make_study(), Execution())
    assert not is_out_of_memory(KeyError("out of memory"))


def test_the_failed_step_s_tensors_are_let_go(make_study: Callable[..., Study]) -> None:
    """The exception would hold them by its frames."""
    with pytest.raises(RefusedError) as caught:
        told_when_out_of_memory(too_much_on_a_cpu, make_study(), Execution())
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_advice_halves_what_is_in_memory_and_never_below_a_row(make_study: Callable[..., Study]) -> None:
    said = advice(make_study("training.batch_size=6", "training.accumulate=4"), Execution(precision="bf16"))
    assert "accumulate = 6 (the same result)" in said
    assert "precision = " not in said
    assert "\n" not in said
