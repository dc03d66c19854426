"""JSON from another machine: finite numbers, short integers, nothing that raises anything but SchemaError."""

import json
from math import isfinite
from typing import Any, Final  # JSON values

from common.errors import SchemaError

_DIGITS: Final = 20


def parse(text: str, *, limit: int) -> Any:
    """Return the value of a JSON text of at most `limit` characters.

    Raises:
        SchemaError: too long, not JSON, too deep, a number that is not finite or that no count has.

    >>> parse('{"n": 3, "loss": 0.5}', limit=100)
    {'n': 3, 'loss': 0.5}
    """
    if len(text) > limit:
        raise SchemaError(f"JSON text has {len(text)} characters, at most {limit} are allowed")
    try:
        return json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=_number)
    except (ValueError, RecursionError):
        raise SchemaError("text is not JSON with finite numbers") from None


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError("more digits than any count has")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError("not finite")
    return value
