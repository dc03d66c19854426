import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SchemaError
from common.strict_json import parse

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(VALUES)
def test_finite_json_is_read_as_the_standard_library_reads_it(value: object) -> None:
    assert parse(json.dumps(value), limit=10**6) == value


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", "-Infinity", "1e999", "[-1e999]", "9" * 21, "-" + "9" * 20, "[" * 100_000, "\ud800"],
)
def test_anything_else_is_a_schema_error(text: str) -> None:
    with pytest.raises(SchemaError):
        parse(text, limit=10**6)


def test_the_limit_counts_characters() -> None:
    assert parse("[1]", limit=3) == [1]
    with pytest.raises(SchemaError, match="at most 2"):
        parse("[1]", limit=2)
