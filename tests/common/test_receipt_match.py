"""What a site says left and what the server says arrived, on either side's word alone."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.receipt_match import match

Entry = dict[str, Any]


def sent(number: int = 1, digest: str | None = "sha256:a", **changes: Any) -> Entry:
    common = {"site": "east", "study": "s", "run": "r", "round": number, "kind": "train", "digest": digest}
    return {**common, "decision": "released", "examples": 3, **changes}


def got(number: int = 1, digest: str | None = "sha256:a", **changes: Any) -> Entry:
    common = {"site": "east", "study": "s", "run": "r", "round": number, "kind": "train", "digest": digest}
    return {**common, "status": "accepted", "reason": None, **changes}


def kinds(left: list[Entry], right: list[Entry]) -> list[tuple[int, str]]:
    return [(d.question.round, d.kind) for d in match(left, right).differences]


def test_equal_logs_agree() -> None:
    found = match([sent(1), sent(2, "sha256:b")], [got(1), got(2, "sha256:b")])
    assert (found.site, found.differences, found.agreed, found.elsewhere) == ("east", (), 2, 0)


def test_what_left_several_times_is_one_payload() -> None:
    again = sent(1, decision="repeated")
    found = match([sent(1), again, again], [got(1), got(1, status="refused", reason="late")])
    assert (found.differences, found.agreed) == ((), 1)
    assert match([again], [got(1)]).differences == ()


def test_a_refusal_has_no_payload() -> None:
    refused = sent(2, None, decision="refused")
    assert kinds([sent(1), refused], [got(1), got(2, None, status="refused")]) == []
    assert kinds([sent(1), refused], [got(1)]) == []


def test_each_kind_of_difference() -> None:
    assert kinds([sent(1), sent(2)], [got(1)]) == [(2, "not at the server")]
    assert kinds([sent(1)], [got(1), got(2)]) == [(2, "not at the site")]
    assert kinds([sent(1)], [got(1, "sha256:b")]) == [(1, "changed")]
    assert kinds([sent(1)], [got(1, None, status="refused")]) == [(1, "not read by the server")]
    assert kinds([sent(1), sent(1, "sha256:b")], [got(1)]) == [(1, "not at the server")]
    assert kinds([sent(1)], [got(1), got(1, "sha256:b")]) == [(1, "not at the site")]


def test_a_payload_belongs_to_its_question() -> None:
    """The same bytes in another round, run, kind or study are another payload."""
    for change in ({"round": 2}, {"kind": "evaluate"}):
        found = match([sent()], [got(**change)])
        assert Counter(d.kind for d in found.differences) == {"not at the server": 1, "not at the site": 1}


def test_a_site_refused_and_the_server_has_something() -> None:
    assert kinds([sent(1, None, decision="refused")], [got(1)]) == [(1, "not at the site")]


def test_other_sites_are_not_compared() -> None:
    assert kinds([sent(1)], [got(1), got(1, "sha256:w", site="west"), got(2, site="west")]) == []


def test_runs_that_the_server_s_log_does_not_speak_of_are_counted_only() -> None:
    found = match([sent(1), sent(1, run="later"), sent(2, run="later", decision="repeated")], [got(1)])
    assert (found.differences, found.agreed, found.elsewhere) == ((), 1, 2)


def test_a_server_that_left_out_a_site_altogether_is_found() -> None:
    assert kinds([sent(1), sent(2)], [got(1, site="west")]) == [(1, "not at the server"), (2, "not at the server")]


def test_a_site_that_left_out_a_run_altogether_is_found() -> None:
    assert kinds([sent(1)], [got(1), got(1, run="other")]) == [(1, "not at the site")]


def test_no_common_run_is_said() -> None:
    with pytest.raises(UserError, match="no run in common"):
        match([sent(1)], [got(1, run="other")])
    with pytest.raises(UserError, match="no run in common"):
        match([sent(1)], [])


def test_a_journal_is_of_one_site() -> None:
    for left in ([], [sent(1), sent(1, site="west")]):
        with pytest.raises(UserError, match="expected the journal of one"):
            match(left, [got(1)])


def test_logs_in_the_wrong_order_are_said() -> None:
    with pytest.raises(UserError, match="in the right order"):
        match([got(1)], [sent(1)])


@pytest.mark.parametrize("change", [{"round": "1"}, {"round": True}, {"digest": 3}, {"site": None}, {"decision": "x"}])
def test_an_entry_of_another_form_is_said(change: Entry) -> None:
    with pytest.raises(UserError, match="is not what the log of a site has"):
        match([{**sent(1), **change}], [got(1)])


PAYLOADS = st.sets(st.tuples(st.integers(1, 4), st.sampled_from(["sha256:a", "sha256:b"])), max_size=6)


@given(PAYLOADS, PAYLOADS, st.randoms())
def test_there_is_a_difference_exactly_where_the_sets_differ(
    left: set[tuple[int, str]], right: set[tuple[int, str]], random: Any
) -> None:
    """In any order of the lines, and however often each stands."""
    site = [sent(*payload) for payload in left for _ in range(random.randint(1, 3))]
    server = [got(*payload) for payload in right for _ in range(random.randint(1, 3))]
    random.shuffle(site)
    random.shuffle(server)
    asked = sent(9, None, decision="refused"), got(9, None)
    found = match([*site, asked[0]], [*server, asked[1]])
    assert {d.question.round for d in found.differences} == {number for number, _ in left ^ right}
    assert found.agreed == len(left & right)
