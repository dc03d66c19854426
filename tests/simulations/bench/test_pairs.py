import math
from time import perf_counter

import pytest

from simulations.bench.pairs import in_turns, paired, pays_after


def test_a_ratio_is_of_pairs_and_not_of_sums() -> None:
    """The machine is ten times slower in the second turn, for both: the ratio of sums would be 1.1."""
    found = paired([1.0, 40.0, 2.0], [2.0, 20.0, 1.0])
    assert (found.median, found.least, found.most) == (2.0, 0.5, 2.0)
    assert found.figures("a_over_b") == {"a_over_b": 2.0, "a_over_b_least": 0.5, "a_over_b_most": 2.0}


def test_of_themselves_it_is_1() -> None:
    assert set(paired([3.0, 0.1, 7.0], [3.0, 0.1, 7.0]).figures("x").values()) == {1.0}


def test_turns_must_be_pairs() -> None:
    with pytest.raises(ValueError, match="argument"):
        paired([1.0, 2.0], [1.0])


def test_works_go_in_turns_of_alternating_order_and_the_first_does_not_count() -> None:
    calls: list[str] = []

    def wait(name: str) -> None:
        calls.append(name)
        end = perf_counter() + (0.2 if len(calls) <= 2 else 0.001)
        while perf_counter() < end:
            pass

    seconds = in_turns({"a": lambda: wait("a"), "b": lambda: wait("b")}, 3)
    assert "".join(calls) == "baabbaab"
    assert [len(each) for each in seconds.values()] == [3, 3]
    assert min(min(each) for each in seconds.values()) < 0.2


@pytest.mark.parametrize(("after", "rounds"), [(4.0, 30.0), (2.0, 10.0), (5.0, math.inf), (6.0, math.inf)])
def test_it_pays_once_the_gains_are_the_cost(after: float, rounds: float) -> None:
    assert pays_after(30.0, before=5.0, after=after) == rounds
