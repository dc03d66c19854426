"""The rate of a cell: lowest loss, the lowest rate of equals, and what is said where there was no choice."""

import math
from dataclasses import dataclass

from simulations.compare.choosing import Choice, choose


@dataclass(frozen=True)
class Tried:
    rate: float


def chosen(losses: dict[float, float | None]) -> Choice:
    results = [
        {"status": "done", "validation": {"pooled": {"log_loss": loss}}} if loss is not None else {"status": "diverged"}
        for loss in losses.values()
    ]
    return choose(tuple(losses), [Tried(rate) for rate in losses], results, "log_loss")


def test_the_lowest_loss_is_chosen() -> None:
    found = chosen({0.01: 0.6, 0.1: 0.4, 1.0: 0.5})
    assert (found.rate, found.at_edge) == (0.1, False)


def test_of_equal_losses_the_lowest_rate_is_chosen_and_the_edge_is_said() -> None:
    found = chosen({0.01: 0.6, 0.1: 0.4, 1.0: 0.4})
    assert (found.rate, found.at_edge) == (0.1, False)
    assert chosen({0.01: 0.3, 0.1: 0.4, 1.0: 0.4}).at_edge
    assert chosen({0.01: 0.5, 0.1: 0.4, 1.0: 0.3}).at_edge


def test_a_rate_that_diverged_is_never_chosen_over_one_that_did_not() -> None:
    found = chosen({0.01: 3.0, 0.1: None})
    assert (found.rate, found.losses[0.1]) == (0.01, math.inf)
    assert chosen({0.01: None, 0.1: None}).all_diverged


def test_one_candidate_is_not_chosen() -> None:
    found = choose((0.2,), [], [], "log_loss")
    assert (found.rate, found.losses, found.at_edge, found.all_diverged) == (0.2, {}, False, False)
