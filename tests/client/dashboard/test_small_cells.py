"""Nobody who sees the page can tell a small count: checked by trying all counts that would show the same page."""

from itertools import product

import pytest

from client.dashboard.small_cells import HIDDEN, OTHER, SMALL, SMALLEST, shown, shown_parts


@pytest.mark.parametrize(("parts", "most"), [(2, 40), (3, 24), (4, 12)])
def test_a_small_part_is_never_the_only_one_that_fits(parts: int, most: int) -> None:
    names = "abcd"[:parts]
    pages: dict[tuple[object, ...], list[tuple[int, ...]]] = {}
    for counts in product(range(most), repeat=parts):
        found = shown_parts(dict(zip(names, counts, strict=True)), sum(counts))
        pages.setdefault((shown(sum(counts)), *found.values()), []).append(counts)
    for page, fitting in pages.items():
        for place, text in enumerate(page[1:]):
            if text in (SMALL, OTHER, HIDDEN) and max(fitting[0]) < most // 2:
                assert len({counts[place] for counts in fitting}) > 1, (page, fitting)


def test_small_ones_are_hidden_and_the_others_are_what_they_are() -> None:
    for number in range(20):
        assert shown(number) == (SMALL if 0 < number < SMALLEST else str(number))
    assert shown_parts({"a": 20, "b": 30, "c": 0}, 50) == {"a": "20", "b": "30", "c": "0"}
    assert shown_parts({"a": 300, "b": 2, "c": 0}, 302) == {"a": OTHER, "b": SMALL, "c": "0"}
    assert set(shown_parts({"a": 4, "b": 4}, 8).values()) == {HIDDEN}
    assert shown_parts({"a": 3, "b": 0}, 3) == {"a": HIDDEN, "b": HIDDEN}
    assert shown_parts({"a": 0, "b": 0}, 0) == {"a": "0", "b": "0"}


def test_the_other_side_of_a_label_does_not_tell_it() -> None:
    """Several labels for one row: each with its own opposite."""
    assert shown_parts({"x": 3, "no x": 97, "y": 40, "no y": 60}, 100) == {
        "x": SMALL,
        "no x": OTHER,
        "y": "40",
        "no y": "60",
    }
