"""Arrays that travel beside an update because the strategy's plan asked for them: their description, read strictly."""

from typing import Any, Final  # JSON values

from common.errors import SchemaError
from common.state import AdapterSchema

MAX_ELEMENTS: Final = 1 << 28
_DTYPES: Final = ("float32", "float64", "int64")
_MAX_DIMENSIONS: Final = 8
_MAX_NAME: Final = 512


def extra_schema(content: Any) -> AdapterSchema:
    """Read the description of a reply's extra arrays, which only the reply itself can give.

    Raises:
        SchemaError: not a list of name, shape, dtype and group; equal names; more than MAX_ELEMENTS elements.
    """
    if not isinstance(content, list) or not all(_is_spec(spec) for spec in content):
        raise SchemaError("extra arrays are not described as name, shape, dtype, group")
    schema = AdapterSchema.from_json(content)
    if len(set(schema.names)) != len(schema.names):
        raise SchemaError("two extra arrays have the same name")
    if schema.size > MAX_ELEMENTS:
        raise SchemaError(f"extra arrays have {schema.size} elements, at most {MAX_ELEMENTS} are allowed")
    return schema


def _is_spec(spec: Any) -> bool:
    return (
        isinstance(spec, dict)
        and set(spec) == {"name", "shape", "dtype", "group"}
        and _is_name(spec["name"])
        and isinstance(spec["dtype"], str)
        and spec["dtype"] in _DTYPES
        and spec["group"] == "shared"
        and _is_shape(spec["shape"])
    )


def _is_name(name: Any) -> bool:
    """Whether it can be written down anywhere: a name comes from another machine."""
    return isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable()


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, list)
        and len(shape) <= _MAX_DIMENSIONS
        and all(type(size) is int and 0 <= size <= MAX_ELEMENTS for size in shape)
    )
