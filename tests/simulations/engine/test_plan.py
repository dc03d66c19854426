"""Groups of clients: a partition, bounded, the same for the same steps, longest first, evenly spread."""

from itertools import pairwise, product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from simulations.engine.plan import ONE_BY_ONE, Shape, plan_groups

STEPS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(0, 40), max_size=20)
SHAPES = st.builds(Shape, workers=st.integers(1, 4), clients=st.integers(1, 6))


@given(STEPS, SHAPES)
def test_every_client_is_in_one_group_none_of_which_is_too_large(steps: dict[str, int], shape: Shape) -> None:
    groups = plan_groups(steps, shape)
    assert sorted(name for group in groups for name in group) == sorted(steps)
    assert all(1 <= len(group) <= shape.clients for group in groups)


@given(STEPS, SHAPES, st.randoms())
def test_the_order_of_clients_changes_nothing(steps: dict[str, int], shape: Shape, random: Any) -> None:
    names = list(steps)
    random.shuffle(names)
    assert plan_groups({name: steps[name] for name in names}, shape) == plan_groups(steps, shape)


def length(group: tuple[str, ...], steps: dict[str, int]) -> int:
    return sum(steps[name] for name in group)


@given(STEPS, SHAPES)
def test_the_longest_group_begins(steps: dict[str, int], shape: Shape) -> None:
    """Where workers each have one group it is the one with most to do, else that with the longest client."""
    groups = plan_groups(steps, shape)
    fits = len(steps) <= shape.workers * shape.clients
    loads = [length(g, steps) if fits else max(steps[n] for n in g) for g in groups]
    assert loads == sorted(loads, reverse=True)
    for group in groups:
        assert [steps[n] for n in group] == sorted((steps[n] for n in group), reverse=True)


@given(STEPS.filter(bool), SHAPES)
def test_clients_that_need_several_groups_for_a_worker_are_with_their_like(steps: dict[str, int], shape: Shape) -> None:
    if len(steps) <= shape.workers * shape.clients:
        return
    groups = plan_groups(steps, shape)
    assert [len(g) for g in groups[:-1]] == [shape.clients] * (len(groups) - 1)
    for one, other in pairwise(groups):
        assert min(steps[n] for n in one) >= max(steps[n] for n in other)


def least_longest(steps: dict[str, int], workers: int) -> int:
    """The best that any sharing among workers can do, found by trying all."""
    sizes = list(steps.values())
    return min(
        max(sum(s for s, w in zip(sizes, choice, strict=True) if w == worker) for worker in range(workers))
        for choice in product(range(workers), repeat=len(sizes))
    )


@given(st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 30), min_size=1), st.integers(1, 3))
def test_workers_are_busy_for_at_most_four_thirds_of_the_least(steps: dict[str, int], workers: int) -> None:
    """Graham 1969, theorem 2: longest first is within 4/3 - 1/(3 m) of the best, where groups are large enough."""
    groups = plan_groups(steps, Shape(workers, clients=len(steps)))
    assert len(groups) == min(workers, len(steps))
    longest = max(length(group, steps) for group in groups)
    assert longest <= (4 / 3 - 1 / (3 * workers)) * least_longest(steps, workers) + 1e-9


def test_one_by_one_is_each_alone_longest_first() -> None:
    assert plan_groups({"a": 1, "b": 3, "c": 3}, ONE_BY_ONE) == [("b",), ("c",), ("a",)]
    assert plan_groups({}, Shape(2, 4)) == []
