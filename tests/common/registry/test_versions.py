"""A version's entry reads as it was written, and any change of it shows."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SchemaError
from common.metrics.types import Metric
from common.registry.versions import Digests, Leading, Measured, Receipts, Rounds, Version

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=9)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 2**53)
METRICS = st.dictionaries(
    TEXT,
    st.builds(
        Metric,
        value=st.none() | FLOATS,
        n=COUNTS,
        low=st.none() | FLOATS,
        high=st.none() | FLOATS,
        reason=st.none() | TEXT,
        error=st.none() | FLOATS,
    ),
    max_size=4,
)
VERSIONS = st.builds(
    Version,
    number=st.integers(1, 9999),
    name=TEXT,
    study=TEXT,
    digests=st.builds(
        Digests, study=TEXT, bundle=TEXT, schema=TEXT, base_model=TEXT, adapter=TEXT, carried=st.none() | TEXT
    ),
    run=st.none() | TEXT,
    seed=COUNTS,
    parent=st.none() | st.integers(1, 9999),
    created=TEXT,
    rounds=st.none() | st.builds(Rounds, played=COUNTS, kept=COUNTS),
    metrics=st.none()
    | st.builds(
        Measured,
        leading=st.builds(Leading, name=TEXT, label=TEXT, higher_is_better=st.booleans()),
        pooled=METRICS,
        mean=METRICS,
        validation=METRICS,
    ),
    receipts=st.none() | st.builds(Receipts, log=st.sampled_from(["receipts", "journals"]), count=COUNTS, head=TEXT),
    privacy=st.none() | st.dictionaries(TEXT, st.none() | TEXT | FLOATS | COUNTS | st.booleans(), max_size=3),
    versions=st.dictionaries(TEXT, st.none() | TEXT, max_size=3),
    files=st.dictionaries(TEXT, TEXT, max_size=3),
)


@given(VERSIONS)
def test_what_is_written_is_read(version: Version) -> None:
    assert Version.from_json(json.dumps(version.to_json())) == version


@given(VERSIONS)
def test_metrics_keep_the_order_of_tables(version: Version) -> None:
    read = Version.from_json(json.dumps(version.to_json()))
    if version.metrics is not None and read.metrics is not None:
        assert list(read.metrics.mean) == list(version.metrics.mean)


@given(VERSIONS, st.data())
def test_a_text_that_is_cut_off_is_none(version: Version, data: st.DataObject) -> None:
    text = json.dumps(version.to_json(), indent=2)
    length = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(SchemaError):
        Version.from_json(text[:length])


@given(VERSIONS, st.sampled_from(["number", "seed", "files", "name", "extra"]))
def test_any_change_shows(version: Version, key: str) -> None:
    content = version.to_json()
    content["version"][key] = {"number": version.number + 1, "seed": -1, "files": {"x": "y"}}.get(key, "another name")
    with pytest.raises(SchemaError, match="digest"):
        Version.from_json(json.dumps(content))


@pytest.mark.parametrize("content", ["[]", '{"format": 1}', '{"format": 2, "digest": "x", "version": {}}', "NaN"])
def test_what_is_no_version_is_said(content: str) -> None:
    with pytest.raises(SchemaError):
        Version.from_json(content)
