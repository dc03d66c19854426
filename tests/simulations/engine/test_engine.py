"""Workers: threads with models of their own over one base; results are those of one after the other, bit by bit."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from client.execution import Execution
from common.workbench import Workbench
from simulations.engine.engine import Engine, StoppedError
from simulations.engine.group import GroupTrained
from simulations.engine.plan import Shape
from simulations.engine.replica import Replica

WAIT_S = 60
STEPS = 400
"""Of a group that is stopped long before its end, and ends in some seconds where it is not."""


@pytest.fixture
def bench(open_double: Callable[..., Workbench]) -> Workbench:
    return open_double("peft={method='lora', rank=4, dropout=0.1}")


@pytest.fixture
def engine(bench: Workbench) -> Iterator[Engine]:
    found = Engine(bench, Execution(threads=1), Shape(workers=2, clients=4), packs=True)
    yield found
    found.close()


def fresh(members: list[Any]) -> list[Any]:
    return [replace(m, rng=np.random.default_rng(int(m.name.rpartition("-")[2]))) for m in members]


def equal(one: dict[str, GroupTrained], other: dict[str, GroupTrained]) -> bool:
    same = one.keys() == other.keys() and all(one[name].trained == other[name].trained for name in one)
    return same and all(np.array_equal(a, other[n].state[t]) for n in one for t, a in one[n].state.items())


@pytest.mark.parametrize("packs", [True, False])
def test_two_groups_at_once_have_the_bits_of_one_after_the_other(
    packs: bool, bench: Workbench, some_members: Any
) -> None:
    engine = Engine(bench, Execution(threads=1), Shape(workers=2, clients=4), packs=packs)
    members = some_members(bench, epochs=3)
    groups = [members[:3], members[3:]]
    try:
        apart = [engine.submit(lambda r, g=g: engine.train(r, fresh(g))).result(WAIT_S) for g in groups]
        both_there = threading.Barrier(2, timeout=WAIT_S)

        def side_by_side(replica: Replica, group: list[Any]) -> dict[str, GroupTrained]:
            seen.append(replica)
            meet = lambda step, _: both_there.wait() if step.number == 0 else None  # noqa: E731
            return engine.train(replica, [replace(fresh(group)[0], after_step=meet), *fresh(group)[1:]])

        seen: list[Replica] = []
        at_once = [engine.submit(lambda r, g=g: side_by_side(r, g)) for g in groups]
        found = [each.result(WAIT_S) for each in at_once]
        assert seen[0] is not seen[1]
        assert all(equal(one, other) for one, other in zip(apart, found, strict=True))
    finally:
        engine.close()


def test_groups_of_other_sizes_give_the_same_clients(bench: Workbench, engine: Engine, some_members: Any) -> None:
    """More clients than fit into one group: the same results, but for how sums are rounded."""
    members = some_members(bench)
    whole = engine.submit(lambda r: engine.train(r, fresh(members))).result(WAIT_S)
    for size in (1, 2, 3):
        for begin in range(0, len(members), size):
            part = fresh(members[begin : begin + size])
            for name, outcome in engine.submit(lambda r, p=part: engine.train(r, p)).result(WAIT_S).items():
                for tensor, array in outcome.state.items():
                    np.testing.assert_allclose(array, whole[name].state[tensor], rtol=1e-5, atol=1e-6)


def test_the_model_itself_is_not_touched(bench: Workbench, engine: Engine, some_members: Any) -> None:
    modules = [m for root in (bench.model, bench.head) for m in root.modules()]
    before = [(m, n, id(p), p.detach().clone()) for m in modules for n, p in m._parameters.items() if p is not None]
    gradients = [p.requires_grad for p in bench.parameters.values()]
    engine.submit(lambda r: engine.train(r, some_members(bench))).result(WAIT_S)
    for module, name, place, value in before:
        now = module._parameters[name]
        assert now is not None
        assert id(now) == place
        assert torch.equal(now, value)
        assert now.grad is None
    assert [p.requires_grad for p in bench.parameters.values()] == gradients


def test_a_group_that_fails_in_between_leaves_its_model_as_it_was(
    bench: Workbench, engine: Engine, some_members: Any
) -> None:
    members = some_members(bench)

    def fail(step: Any, after: Any) -> None:
        if step.number == 1:
            raise LookupError("in the middle")

    def work(replica: Replica) -> tuple[str, bool]:
        own = dict(replica.bench.parameters)
        try:
            engine.train(replica, [replace(fresh(members)[0], after_step=fail), *fresh(members)[1:]])
        except LookupError as error:
            held = [m._parameters[a] for name in own for m, a in replica.places[name]]
            return str(error), {id(p) for p in held} == {id(p) for p in own.values()}
        return "", False

    assert engine.submit(work).result(WAIT_S) == ("in the middle", True)
    expected = engine.submit(lambda r: engine.train(r, fresh(members))).result(WAIT_S)
    for _ in range(2):  # by each of the two models
        assert equal(engine.submit(lambda r: engine.train(r, fresh(members))).result(WAIT_S), expected)


def test_a_stopped_engine_ends_within_a_step(bench: Workbench, engine: Engine, some_members: Any) -> None:
    steps: list[int] = []
    begun = threading.Event()

    def note(step: Any, after: Any) -> None:
        steps.append(step.number)
        begun.set()

    members = [replace(m, after_step=note) for m in some_members(bench, clients=1, steps=STEPS)]
    running = engine.submit(lambda r: engine.train(r, members))
    others: list[Future[Any]] = [engine.submit(lambda r: engine.train(r, some_members(bench, steps=STEPS)))]
    others += [engine.submit(lambda r: r) for _ in range(3)]  # which wait for a worker
    assert begun.wait(WAIT_S)
    engine.close()
    assert len(steps) < STEPS
    with pytest.raises(StoppedError):
        running.result(WAIT_S)
    with pytest.raises(StoppedError):
        others[0].result(WAIT_S)
    assert all(each.cancelled() or each.exception() for each in others[1:])


def test_a_closed_engine_can_begin_again(bench: Workbench, engine: Engine, some_members: Any) -> None:
    """The comparison trains with the engine that the rounds have closed."""
    first = engine.submit(lambda r: engine.train(r, some_members(bench))).result(WAIT_S)
    engine.close()
    engine.close()
    assert equal(engine.submit(lambda r: engine.train(r, some_members(bench))).result(WAIT_S), first)


def test_each_worker_computes_with_the_run_s_threads(bench: Workbench) -> None:
    engine = Engine(bench, Execution(threads=2), Shape(workers=1, clients=2), packs=False)
    before = torch.get_num_threads()
    try:
        assert engine.submit(lambda _: torch.get_num_threads()).result(WAIT_S) == 2
    finally:
        engine.close()
    assert torch.get_num_threads() == before
