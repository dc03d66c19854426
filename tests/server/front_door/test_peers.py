from hypothesis import given
from hypothesis import strategies as st

from server.front_door.peers import REMEMBERED, Peers
from server.front_door.settings import Limits


@given(
    gaps=st.lists(st.floats(0, 5, allow_subnormal=False), min_size=1, max_size=200),
    per_s=st.floats(0.1, 20),
    burst=st.integers(1, 20),
)
def test_no_peer_gets_more_than_burst_and_rate(gaps: list[float], per_s: float, burst: int) -> None:
    peers, now, passed = Peers(Limits(requests_per_s=per_s, burst=burst)), 0.0, 0
    for gap in gaps:
        now += gap
        if peers.enter("a", now):
            peers.leave("a")
            passed += 1
        assert passed <= burst + per_s * now + 1e-6


def test_a_peer_that_waits_gets_its_tokens_back() -> None:
    peers = Peers(Limits(requests_per_s=2, burst=1))
    assert [peers.enter("a", at) for at in (0.0, 0.4, 0.5, 0.6, 1.0)] == [True, False, True, False, True]


def test_what_is_in_flight_counts_until_it_has_left() -> None:
    peers = Peers(Limits(requests_per_peer=2))
    assert [peers.enter("a", 0.0) for _ in range(3)] == [True, True, False]
    assert peers.enter("b", 0.0)
    peers.leave("a")
    assert peers.enter("a", 0.0)


def test_one_peer_takes_nothing_from_another() -> None:
    peers = Peers(Limits(burst=1, requests_per_s=0.001))
    assert peers.enter("a", 0.0)
    assert not peers.enter("a", 0.0)
    assert peers.enter("b", 0.0)


def test_peers_that_are_long_gone_are_forgotten_but_no_debt_and_nobody_in_flight() -> None:
    peers = Peers(Limits(burst=1, requests_per_s=1.0, requests_per_peer=1))
    for number in range(REMEMBERED - 2):
        assert peers.enter(f"old-{number}", 0.0)
        peers.leave(f"old-{number}")
    assert peers.enter("busy", 0.0)
    assert peers.enter("owing", 9.9)
    peers.leave("owing")
    assert peers.enter("new", 10.0)
    assert len(peers) == 3
    assert not peers.enter("busy", 100.0)
    assert not peers.enter("owing", 10.0)


@given(
    sent=st.lists(st.tuples(st.floats(0, 30, allow_subnormal=False), st.integers(0, 100)), min_size=1, max_size=100),
    window_s=st.floats(1, 60),
)
def test_no_peer_sends_more_bytes_than_one_window_and_what_has_come_back(
    sent: list[tuple[float, int]], window_s: float
) -> None:
    peers, now, passed = Peers(Limits(body_bytes=100, bytes_per_peer=250, window_s=window_s)), 0.0, 0
    for gap, size in sent:
        now += gap
        if peers.enter("a", now, size_bytes=size):
            peers.leave("a")
            passed += size
        assert passed <= 250 * (1 + now / window_s) + 1e-6
    assert peers.enter("b", now, size_bytes=100)


def test_who_has_sent_too_much_may_still_ask_and_is_not_forgotten() -> None:
    peers = Peers(Limits(body_bytes=100, bytes_per_peer=100, window_s=1000.0))
    assert peers.enter("a", 0.0, size_bytes=100)
    peers.leave("a")
    for number in range(REMEMBERED):
        assert peers.enter(f"other-{number}", 5.0)
        peers.leave(f"other-{number}")
    assert not peers.enter("a", 10.0, size_bytes=100)
    assert peers.enter("a", 10.0, size_bytes=1)
