"""Which refused requests are told of as a wrong clock, and how often."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from common.keys import make_transport_key
from server.coordinator.views import transport_name
from server.front_door.clocks import AGAIN_S, AHEAD, BEHIND, MOST, Clocks, clock_of

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def headers(ahead: timedelta, key: bytes = b"pem") -> list[tuple[bytes, bytes]]:
    return [
        (b"flwr-public-key", base64.b64encode(key)),
        (b"flwr-timestamp", (NOON + ahead).isoformat().encode()),
    ]


@pytest.mark.parametrize("ahead", [AHEAD, -BEHIND, timedelta(0)])
def test_a_time_that_superlink_takes_is_not_why(ahead: timedelta) -> None:
    assert clock_of(headers(ahead), NOON) is None


@pytest.mark.parametrize(
    ("ahead", "text"),
    [(timedelta(minutes=10), "600 s ahead of this machine's"), (timedelta(minutes=-10), "600 s behind this machine's")],
)
def test_another_is_told_with_its_key(ahead: timedelta, text: str) -> None:
    line = Clocks().line(headers(ahead), NOON, 0.0) or ""
    assert f"its clock is {text} (transport_name " in line
    assert "\n" not in line


@pytest.mark.parametrize("time", [b"", b"\xff", b"noon", b"9999-12-31T23:59:59+00:00" + b"0" * 99])
def test_what_is_no_time_says_nothing(time: bytes) -> None:
    assert clock_of([(b"flwr-timestamp", time)], NOON) is None
    assert clock_of([], NOON) is None


def test_a_key_is_told_of_once_in_a_while_and_strangers_cannot_fill_the_log() -> None:
    clocks, wrong = Clocks(), timedelta(hours=1)
    first = [clocks.line(headers(wrong), NOON, second) for second in (0.0, 1.0, AGAIN_S - 1, AGAIN_S)]
    assert [line is not None for line in first] == [True, False, False, True]
    many = [clocks.line(headers(wrong, str(number).encode()), NOON, AGAIN_S) for number in range(2 * MOST)]
    assert sum(line is not None for line in many) == MOST - 1


def test_the_name_is_the_one_that_the_roster_gives(tmp_path: Path) -> None:
    """A SuperNode sends its key as Flower writes it."""
    public = make_transport_key(tmp_path / "transport")
    sent = public_key_to_bytes(load_ssh_public_key(public.encode()))  # type: ignore[arg-type] # it is of that kind
    found = clock_of(headers(timedelta(hours=1), sent), NOON)
    assert found is not None
    assert found[0] == transport_name(public)
