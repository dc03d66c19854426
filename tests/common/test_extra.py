from typing import Any

import numpy as np
import pytest

from common.errors import SchemaError
from common.extra import MAX_ELEMENTS, extra_schema
from common.state import AdapterSchema


def spec(**changes: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [2, 3], "dtype": "float32", "group": "shared", **changes}


def test_a_schema_reads_back_what_it_wrote() -> None:
    schema = AdapterSchema.of({"x": np.zeros((2, 3), np.float32), "y": np.int64([1])})
    assert extra_schema(schema.to_json()) == schema


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        ["x"],
        [{}],
        [spec(name=3)],
        [spec(dtype="object")],
        [spec(dtype=["float32"])],
        [spec(dtype="O")],
        [spec(group="private")],
        [spec(shape="23")],
        [spec(shape=[-1])],
        [spec(shape=[True])],
        [spec(shape=[2.0])],
        [spec(shape=[1] * 9)],
        [spec(shape=[MAX_ELEMENTS, 2])],
        [spec(), spec()],
        [spec(more=1)],
    ],
)
def test_anything_else_is_a_schema_error(content: Any) -> None:
    with pytest.raises(SchemaError):
        extra_schema(content)
