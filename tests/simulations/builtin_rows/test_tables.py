"""Words are drawn as numpy draws them, and what interrupts the drawing is not lost."""

import signal
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.builtin_rows._tables import in_any_order, one_of

WORDS = ("fever", "cough", "chills", "rash", "headache")


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\0")), min_size=1), st.integers(0, 99))
def test_they_are_numpy_s_own_from_the_same_stream(words: list[str], seed: int) -> None:
    ours, numpys = np.random.default_rng(seed), np.random.default_rng(seed)
    for _ in range(5):
        assert one_of(words, ours) == str(numpys.choice(words))
        assert in_any_order(words, ours) == [str(word) for word in numpys.permutation(words)]


@pytest.mark.parametrize("draw", [one_of, in_any_order])
def test_no_interrupt_is_lost(draw: Callable[[Sequence[str], np.random.Generator], object]) -> None:
    """numpy's `choice` loses one in three: a run went on after Ctrl-C."""
    rng, sent, caught = np.random.default_rng(0), 0, 0

    def interrupt(*_: object) -> None:
        nonlocal sent
        sent += 1
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        while sent < 40:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.001)
                for _ in range(2000):
                    draw(WORDS, rng)
            except KeyboardInterrupt:
                caught += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert caught == sent
