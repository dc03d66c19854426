"""What a plan may say beyond the plain plan (`RoundPlan.extra`): the names that this trainer honours, and their values.

rotation, rotate_b: `client.rotation`, of FedRot-LoRA. tail_penalty, tail_share: `client.tail_penalty`, of HetLoRA.
Two of one line go together.
"""

from collections.abc import Mapping
from typing import Final

from common.errors import RefusedError

ROTATION, ROTATE_B = "rotation", "rotate_b"
TAIL_PENALTY, TAIL_SHARE = "tail_penalty", "tail_share"
MAX_PENALTY: Final = 1e3
_TOGETHER: Final = ({ROTATION, ROTATE_B}, {TAIL_PENALTY, TAIL_SHARE})
_LARGEST: Final = {ROTATION: 1.0, ROTATE_B: 1.0, TAIL_PENALTY: MAX_PENALTY, TAIL_SHARE: 1.0}
KNOWN: Final = frozenset(_LARGEST)


def check_extras(extra: Mapping[str, float]) -> None:
    """Raise RefusedError where a plan says what this trainer does not honour, or says it with a value out of range."""
    alone = any(0 < len(pair & set(extra)) < len(pair) for pair in _TOGETHER)
    if alone or not all(_is_valid(name, value) for name, value in extra.items()):
        raise RefusedError("MALFORMED_REQUEST")


def _is_valid(name: str, value: float) -> bool:
    """Whether a figure is known, finite and in its range; not-a-number is in none."""
    if name == ROTATE_B:
        return value in (0.0, 1.0)
    return name in KNOWN and 0.0 <= value <= _LARGEST[name]
