import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.report.formats import MINUS, count, counted, duration, joined, percent, plain, signed, size

UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


@given(st.floats(-10, 10))
def test_a_difference_reads_back_with_its_sign(value):
    text = signed(value).replace(MINUS, "-")
    assert float(text) == pytest.approx(value, abs=5.001e-4)
    if value != 0 and abs(value) > 1e-12:
        assert float(text) != 0
        assert (float(text) > 0) == (value > 0)


@given(st.floats(-1e3, 1e3))
def test_a_score_reads_back(value):
    assert float(plain(value).replace(MINUS, "-")) == pytest.approx(value, abs=5.001e-4)


@given(st.integers(0, 10**12))
def test_a_size_reads_back_within_one_percent_and_is_short(value):
    number, unit = size(value).split()
    assert float(number) * UNITS[unit] == pytest.approx(value, rel=0.006)
    assert len(number) <= 4


@given(st.floats(1e-6, 1))
def test_a_percentage_reads_back_within_two_digits(value):
    assert float(percent(value).split()[0]) / 100 == pytest.approx(value, rel=0.051)


@given(st.floats(1e-3, 1e6))
def test_a_duration_reads_back(value):
    scale = {"ms": 1e-3, "s": 1, "min": 60, "h": 3600}
    words = duration(value).split()
    total = sum(float(n) * scale[unit] for n, unit in zip(words[::2], words[1::2], strict=True))
    assert total == pytest.approx(value, rel=0.051 if value < 60 else 0.02)


def test_absent_numbers_are_a_dash():
    assert {f(None) for f in (plain, signed, count, size, duration, percent)} == {plain(None)}


@given(st.lists(st.text("abc", min_size=1), max_size=6))
def test_a_list_names_each_part_in_order(parts):
    assert joined(parts).replace(" and ", ", ") == ", ".join(parts)


def test_one_is_singular():
    assert [counted(n, "round") for n in (0, 1, 2)] == ["0 rounds", "1 round", "2 rounds"]
