from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cohort import draw_cohort
from server.quorum import needed_replies

NAMES = st.lists(st.text("abcdef", min_size=1), min_size=1, max_size=12, unique=True)


@given(NAMES, st.floats(0.01, 1), st.integers(1, 50), st.randoms())
def test_a_cohort_is_a_sorted_part_that_the_order_of_sites_does_not_touch(
    names: list[str], fraction: float, round_number: int, random: object
) -> None:
    cohort = draw_cohort(names, fraction=fraction, seed=1, round_number=round_number)
    assert list(cohort) == sorted(set(cohort) & set(names))
    assert len(cohort) == max(1, round(fraction * len(names)))
    assert cohort == draw_cohort(reversed(names), fraction=fraction, seed=1, round_number=round_number)


def test_over_many_rounds_every_site_is_drawn_about_equally() -> None:
    names = [f"s{i}" for i in range(10)]
    drawn = Counter(site for t in range(1, 1001) for site in draw_cohort(names, fraction=0.3, seed=0, round_number=t))
    # Binomial(1000, 0.3): mean 300, standard deviation 14.5; five of them either side.
    assert all(abs(drawn[name] - 300) < 73 for name in names)


def test_seed_and_round_draw_anew() -> None:
    names = [f"s{i}" for i in range(20)]
    draws = {draw_cohort(names, fraction=0.5, seed=s, round_number=t) for s in range(3) for t in range(1, 4)}
    assert len(draws) == 9


@pytest.mark.parametrize(("quorum", "size"), [(q / 100, n) for q in range(1, 101) for n in (1, 2, 3, 7, 25, 50, 100)])
def test_the_quorum_is_the_least_count_that_reaches_the_share(quorum: float, size: int) -> None:
    # In whole numbers: the least k >= 1 with 100 k >= (100 quorum) n.
    hundredths = round(quorum * 100)
    assert needed_replies(quorum, size) == next(k for k in range(1, size + 1) if 100 * k >= hundredths * size)
