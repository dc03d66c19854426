"""Shorter waits for objects that are still being uploaded, in gateway, SuperNode and ServerApp alike.

The names are private to Flower and move with its releases: `tests/common/test_flower_backoff.py` fails when they have.
"""

from typing import Final

from flwr.supercore.inflatable.inflatable_utils import pull_and_inflate_object_from_tree, pull_objects

_BACKOFF: Final = {"initial_backoff": 0.1, "backoff_cap": 0.5}
"""Seconds; Flower's own 1 to 10 make whoever asks for a message that is still being uploaded wait long."""


def shorten_backoff() -> bool:
    """Let this process look sooner for objects that are still being uploaded; False where Flower moved the numbers.

    Without it all is the same, only slower.
    """
    places = [getattr(f, "__kwdefaults__", None) or {} for f in (pull_objects, pull_and_inflate_object_from_tree)]
    if not all(defaults.keys() >= _BACKOFF.keys() for defaults in places):
        return False
    for defaults in places:
        defaults.update(_BACKOFF)
    return True
