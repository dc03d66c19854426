"""Before round 1: sites that cannot take part are named with what they lack, and too few stop the run at once."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from client.app import make_app, respond
from client.gate import readiness_entry
from common import wire
from common.errors import ParticipationError
from common.keys import public_text
from common.preflight import MEANINGS, NOTES, Problem, Question, Readiness
from common.receipt_check import read_log
from common.receipt_match import match
from common.signed_reply import sign_readiness, sign_reply
from common.study import Study
from server.events import RunFinished, RunStopped, SiteChecked
from server.preflight import NOT_SIGNED, check_sites
from server.receipts import Receipts
from server.session import Session
from server.state import ServerState

READY = Readiness(versions={"python": "3.11"}).model_dump()
STUDY = Study.model_validate({"name": "s", "base_model": {"source": "dir:m"}, "task": {"labels": ["no", "yes"]}})


class FakeBundle:
    """What the preflight asks for: digests."""

    study = STUDY
    digest = "sha256:" + "b" * 64

    class schema:
        digest = "sha256:" + "5" * 64


def answering(lab: Any, answers: Mapping[str, object]) -> ClientApp:
    """An app whose sites answer the preflight with these JSON values; without one it fails."""
    app = make_app(lab.site_of)

    @app.query("preflight")
    def preflight(message: Message, context: Context) -> Message:
        asked = Question.model_validate(wire.decode_value(message.content))
        assert asked.bundle == FakeBundle.digest
        value = answers.get(lab.site_of(context).name)
        if value is None:
            return Message(Error(code=2, reason="text of an exception"), reply_to=message)
        content = value if isinstance(value, RecordDict) else wire.encode_value(value)
        return Message(content, reply_to=message)

    return app


def played(
    lab: Any, answers: Mapping[str, object], state: ServerState | None = None, **changes: Any
) -> dict[str, SiteChecked]:
    lab.app = answering(lab, answers)
    begin = state or lab.start()

    def check(session: Session) -> None:
        check_sites(session, FakeBundle, replace(begin, run="first"))  # type: ignore[arg-type] # the part that is used

    lab.run(begin, preflight=check, **changes)
    return {event.site: event for event in lab.events if isinstance(event, SiteChecked)}


def lacking(*problems: Problem) -> dict[str, Any]:
    return Readiness(problems=problems).model_dump()


def test_a_run_of_ready_sites_goes_on(lab: Callable[..., Any]) -> None:
    federation = lab(2)
    found = played(federation, dict.fromkeys(federation.sites, READY))
    assert {site: (event.is_ready, event.lacks) for site, event in found.items()} == {
        "site-a": (True, ""),
        "site-b": (True, ""),
    }
    assert found["site-a"].versions == {"python": "3.11"}
    assert isinstance(federation.events[-1], RunFinished)


@pytest.mark.parametrize("problem", MEANINGS)
def test_a_site_that_lacks_something_is_named_and_the_others_go_on(problem: Problem, lab: Callable[..., Any]) -> None:
    federation = lab(3)
    found = played(federation, {**dict.fromkeys(federation.sites, READY), "site-b": lacking(problem)})
    assert MEANINGS[problem] in found["site-b"].lacks
    assert not found["site-b"].is_ready
    assert isinstance(federation.events[-1], RunFinished)


def test_a_site_with_one_label_is_ready_and_it_is_said(lab: Callable[..., Any]) -> None:
    federation = lab(2)
    one = Readiness(notes=("ONE_LABEL",)).model_dump()
    found = played(federation, {"site-a": READY, "site-b": one})
    assert (found["site-b"].is_ready, found["site-b"].lacks) == (True, NOTES["ONE_LABEL"])


def test_too_few_ready_sites_end_the_run_before_anyone_trains(lab: Callable[..., Any]) -> None:
    federation = lab(3)
    short = Readiness(problems=("TOO_LITTLE_MEMORY",), free_bytes=2**20, needed_bytes=2**22).model_dump()
    answers = {"site-a": READY, "site-b": lacking("NO_BASE_MODEL", "NO_TRAINING_ROWS"), "site-c": short}
    with pytest.raises(ParticipationError) as caught:
        played(federation, answers)
    text = str(caught.value)
    assert "1 of 3 sites can run this study, 2 are needed" in text
    assert MEANINGS["NO_BASE_MODEL"] in text
    assert MEANINGS["NO_TRAINING_ROWS"] in text
    assert "1 MiB are free, 4 MiB are needed" in text
    assert all(not site.asked for site in federation.sites.values())


def resumed(federation: Any, round_number: int) -> ServerState:
    """The state after this round."""
    state: ServerState = federation.run(rounds=round_number).state
    federation.events.clear()
    return state


def test_a_resumed_run_that_stops_says_which_round_is_complete(lab: Callable[..., Any]) -> None:
    federation = lab(3)
    state = resumed(federation, 2)
    with pytest.raises(ParticipationError, match="0 of 3 sites"):
        played(federation, dict.fromkeys(federation.sites, lacking("PAUSED")), state)
    (stopped,) = (event for event in federation.events if isinstance(event, RunStopped))
    assert stopped.round == 2


def test_a_run_whose_rounds_are_complete_is_closed_with_the_sites_that_are_ready(lab: Callable[..., Any]) -> None:
    federation = lab(3)
    state = resumed(federation, 3)
    found = played(federation, {**dict.fromkeys(federation.sites, lacking("PAUSED")), "site-b": READY}, state)
    assert [site for site, event in found.items() if event.is_ready] == ["site-b"]
    assert isinstance(federation.events[-1], RunFinished)


@pytest.mark.parametrize(
    "value",
    [
        "ready",
        {"problems": ["SOMETHING"]},
        {**READY, "versions": {"python": "3\n11"}},
        {**READY, "versions": {"x" * 41: "1"}},
        {**READY, "free_bytes": -1},
        {**READY, "patients": 12},
        RecordDict(),
    ],
)
def test_an_answer_that_is_none_counts_as_not_ready(value: object, lab: Callable[..., Any]) -> None:
    federation = lab(3)
    found = played(federation, {**dict.fromkeys(federation.sites, READY), "site-c": value})
    assert (found["site-c"].is_ready, found["site-c"].lacks) == (False, "an answer that cannot be read")


def test_a_site_whose_app_fails_is_said_in_a_fixed_word(lab: Callable[..., Any]) -> None:
    federation = lab(3)
    found = played(federation, {"site-a": READY, "site-b": READY})
    assert (found["site-c"].is_ready, found["site-c"].lacks) == (False, "APP_FAILED")


KEYS = {site: Ed25519PrivateKey.generate() for site in ("site-a", "site-b", "site-c")}
SIGNERS = {site: public_text(key) for site, key in KEYS.items()}


def signing_app(lab: Any, key_of: Callable[[str], Ed25519PrivateKey | None], kept: dict[str, Any]) -> ClientApp:
    """Sites that are ready, and sign all that they say with the key of `key_of`; `kept` has what they say."""
    app = ClientApp()

    def work(message: Message, context: Context) -> Message:
        content = respond(message.content, lab.site_of(context))
        key = KEYS[lab.site_of(context).name]
        return Message(sign_reply(content, wire.peek_request(message.content), key), reply_to=message)

    @app.query("preflight")
    def preflight(message: Message, context: Context) -> Message:
        name = lab.site_of(context).name
        asked, said = Question.model_validate(wire.decode_value(message.content)), Readiness(free_bytes=len(kept))
        content, key = wire.encode_value(said.model_dump()), key_of(name)
        kept[name] = readiness_entry(name, asked, said)
        return Message(content if key is None else sign_readiness(content, asked, key), reply_to=message)

    app.train()(work)
    app.evaluate()(work)
    app.query()(make_app(lab.site_of))
    return app


def checked(lab: Any, key_of: Callable[[str], Ed25519PrivateKey | None], receipts: Receipts) -> dict[str, Any]:
    """Play a run, and return what each site noted."""
    kept: dict[str, Any] = {}
    lab.app = signing_app(lab, key_of, kept)
    lab.run(
        lab.start(),
        preflight=lambda session: check_sites(session, FakeBundle, replace(lab.start(), run="first")),  # type: ignore[arg-type] # the part that is used
        receipts=receipts,
        signers=lambda: SIGNERS,
        rounds=1,
    )
    return kept


@pytest.mark.parametrize("forger", [None, KEYS["site-a"], Ed25519PrivateKey.generate()])
def test_what_a_site_did_not_sign_is_not_its_word(
    forger: Ed25519PrivateKey | None, lab: Callable[..., Any], tmp_path: Path
) -> None:
    made, receipts = lab(3), Receipts(tmp_path / "receipts.jsonl", KEYS["site-a"], durable=False)
    checked(made, lambda site: forger if site == "site-c" else KEYS[site], receipts)
    found = {event.site: (event.is_ready, event.lacks) for event in made.events if isinstance(event, SiteChecked)}
    assert found == {"site-a": (True, ""), "site-b": (True, ""), "site-c": (False, NOT_SIGNED)}
    of_c = [e for e in entries(receipts) if (e["site"], e["round"]) == ("site-c", 0)]
    assert [(e["status"], e["reason"], e["digest"]) for e in of_c] == [("refused", NOT_SIGNED, None)]


def entries(receipts: Receipts) -> list[dict[str, Any]]:
    return [receipt.entry for receipt in read_log(receipts.path).receipts]


def test_the_receipts_of_both_sides_match(lab: Callable[..., Any], tmp_path: Path) -> None:
    made, receipts = lab(3), Receipts(tmp_path / "receipts.jsonl", KEYS["site-a"], durable=False)
    kept = checked(made, KEYS.__getitem__, receipts)
    of_round_0 = [e for e in entries(receipts) if e["kind"] == "preflight"]
    for site, entry in kept.items():
        found = match([asdict(entry)], of_round_0)
        assert (found.site, found.differences, found.agreed) == (site, (), 1)
        changed = [{**asdict(entry), "digest": "sha256:0"}]
        assert [each.kind for each in match(changed, of_round_0).differences] == ["changed"]


def test_a_refusal_carries_nothing_that_is_compared(lab: Callable[..., Any], tmp_path: Path) -> None:
    made, receipts = lab(3), Receipts(tmp_path / "receipts.jsonl", KEYS["site-a"], durable=False)
    answers = {**dict.fromkeys(made.sites, READY), "site-b": lacking("PAUSED")}
    played(made, answers, receipts=receipts)
    found = {e["site"]: (e["status"], e["digest"] is None) for e in entries(receipts) if e["kind"] == "preflight"}
    assert found == {"site-a": ("accepted", False), "site-b": ("refused", True), "site-c": ("accepted", False)}
