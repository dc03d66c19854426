"""Flower's private numbers of waiting: they are where this changes them, and server and SuperNode read them there."""

from time import monotonic

from flwr.supercore.inflatable import inflatable_utils
from flwr.superlink.grid import http_grid
from flwr.supernode import start_client_internal

from common.flower_backoff import shorten_backoff

ADVICE = "Flower moved a private name: mend common/flower_backoff.py"


def test_the_back_off_is_shortened_where_it_is_read() -> None:
    functions = (inflatable_utils.pull_objects, inflatable_utils.pull_and_inflate_object_from_tree)
    before = [dict(function.__kwdefaults__ or {}) for function in functions]
    try:
        assert shorten_backoff(), ADVICE
        for function in functions:
            assert function.__kwdefaults__["initial_backoff"] == 0.1, ADVICE
            assert function.__kwdefaults__["backoff_cap"] == 0.5, ADVICE
        assert start_client_internal.pull_objects is functions[0], ADVICE
        assert http_grid.pull_objects is functions[0], ADVICE
        assert pulled_after_a_miss(), ADVICE
    finally:
        for function, defaults in zip(functions, before, strict=True):
            function.__kwdefaults__ = defaults


def pulled_after_a_miss() -> bool:
    """Whether an object that is there the second time is found within half a second."""
    tries: list[str] = []

    def pull(name: str) -> bytes:
        tries.append(name)
        if len(tries) == 1:
            raise inflatable_utils.ObjectUnavailableError(name)
        return b"found"

    begin = monotonic()
    return inflatable_utils.pull_objects(["a"], pull) == {"a": b"found"} and monotonic() - begin < 0.5
