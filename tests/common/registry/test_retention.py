"""The newest and the protected versions keep their files, and nothing is asked of the others."""

from hypothesis import given
from hypothesis import strategies as st

from common.registry.retention import to_prune

NUMBERS = st.sets(st.integers(1, 50))


@given(NUMBERS, st.integers(0, 60), NUMBERS)
def test_what_stays_is_the_newest_and_the_protected(numbers: set[int], keep: int, protected: set[int]) -> None:
    gone = set(to_prune(numbers, keep=keep, protected=protected))
    stays = numbers - gone
    assert protected & numbers <= stays
    assert len(stays) >= min(keep, len(numbers))
    assert all(sum(other > number for other in numbers) >= keep for number in gone)
    assert to_prune(stays, keep=keep, protected=protected) == []
