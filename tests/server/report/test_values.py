from hypothesis import given
from hypothesis import strategies as st

from server.report.values import Estimate, estimate, find, number, section, site_names, verdict

finite = st.floats(-1, 1)
json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(json_like, st.lists(st.text(max_size=3), max_size=4))
def test_reading_never_fails_whatever_is_absent(content, path):
    find(content, *path)
    assert isinstance(section(content, *path), dict)
    assert isinstance(estimate(content, *path), Estimate)
    value = number(content, *path)
    assert value is None or abs(value) < float("inf")


@given(finite, finite, finite)
def test_only_an_interval_that_excludes_zero_judges(value, first, second):
    low, high = sorted((first, second))
    found = verdict(Estimate(value, low, high))
    assert (found == "better") == (low > 0)
    assert (found == "worse") == (high < 0)


@given(finite)
def test_without_an_interval_nothing_is_judged(value):
    assert verdict(Estimate(value)) == "unclear"
    assert verdict(Estimate(None, 0.1, 0.2)) == "unknown"


def test_sites_come_in_the_studys_order_then_those_only_seen(make_results):
    results = make_results()
    results["rounds"][0]["participation"]["Extra"] = {"status": "refused"}
    assert site_names(results) == ["Cleveland", "Budapest", "Zurich-Basel", "Long-Beach", "Extra"]
    results["study"]["federation"]["sites"] = None
    assert site_names(results) == ["Budapest", "Cleveland", "Extra", "Long-Beach", "Zurich-Basel"]
