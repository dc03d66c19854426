"""Chunks are a partition of the cohort, balanced, and a matter of its work and the number of workers alone."""

from itertools import product
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from simulations.on_ray.chunks import MOST, cut, most_sites

WORK = st.lists(st.integers(0, 1000), max_size=120)


@given(WORK, st.integers(1, 9), st.integers(1, 40))
def test_each_site_is_in_one_chunk(work: list[int], workers: int, most: int) -> None:
    chunks = cut(work, workers=workers, most=most)
    assert sorted(position for chunk in chunks for position in chunk) == list(range(len(work)))
    assert all(0 < len(chunk) <= most for chunk in chunks)


@given(st.integers(0, 500).map(lambda sites: [1] * sites), st.integers(1, 9), st.integers(1, 40))
def test_workers_have_equally_many_chunks_unless_there_are_fewer_sites(
    work: list[int], workers: int, most: int
) -> None:
    count = len(cut(work, workers=workers, most=most))
    assert count == len(work) or count % workers == 0
    assert count <= workers * ceil(ceil(len(work) / most) / workers)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=7), st.integers(1, 3))
def test_the_heaviest_chunk_is_near_the_best_that_there_is(work: list[int], workers: int) -> None:
    """Graham's bound, 4/3 - 1/(3 m) of the optimum, found by looking at every assignment; a site counts 1 by itself."""
    loads = []
    for assigned in product(range(workers), repeat=len(work)):
        loads.append(max(sum(w + 1 for w, to in zip(work, assigned, strict=True) if to == i) for i in range(workers)))
    heaviest = max(sum(work[i] + 1 for i in chunk) for chunk in cut(work, workers=workers))
    assert heaviest <= min(loads) * (4 / 3 - 1 / (3 * workers)) + 1e-9


@given(WORK, st.integers(1, 9))
def test_the_heaviest_comes_first(work: list[int], workers: int) -> None:
    weights = [sum(work[i] + 1 for i in chunk) for chunk in cut(work, workers=workers)]
    assert weights == sorted(weights, reverse=True)


def test_one_worker_plays_all_in_as_few_chunks_as_may_be() -> None:
    assert cut([5, 6, 7], workers=1) == [[0, 1, 2]]
    assert len(cut([1] * (MOST + 1), workers=1)) == 2


def test_there_are_no_more_chunks_than_sites() -> None:
    assert sorted(cut([5, 6, 7], workers=8)) == [[0], [1], [2]]
    assert cut([], workers=8) == []


@given(st.integers(0, 1 << 32))
def test_a_chunk_has_at_least_one_site_and_no_more_bytes_than_memory_is_given(sent_bytes: int) -> None:
    most = most_sites(sent_bytes)
    assert 1 <= most <= MOST
    assert most == 1 or most * sent_bytes <= 64 << 20
