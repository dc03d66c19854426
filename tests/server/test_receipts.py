"""The coordinator's log says of every judged reply what became of it, with the digest that the site's journal has."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import ConfigRecord, Context, Message
from flwr.clientapp import ClientApp

from client.app import make_app
from client.gate import Gate
from client.journal import Journal
from client.policy import Policy
from common import wire
from common.answers import payload_digest
from common.errors import UserError
from common.keys import public_text
from common.protocol import Refusal, Reply, Request
from common.receipt_check import read_log, verify
from common.receipt_match import match
from common.signed_reply import sign_reply
from common.state import digest_state
from server.receipts import Judged, Receipts, digest_of

MakeLab = Callable[..., Any]
KEY = Ed25519PrivateKey.generate()
Kept = dict[tuple[str, int, str], str | None]


@pytest.fixture
def receipts(tmp_path: Path) -> Receipts:
    return Receipts(tmp_path / "receipts.jsonl", KEY, durable=False)


def entries(receipts: Receipts) -> list[dict[str, Any]]:
    assert verify(receipts.path, public_text(KEY)) == []
    return [receipt.entry for receipt in read_log(receipts.path).receipts]


def keeping(kept: Kept, site: str, change: Callable[[Reply, Request], Any]) -> Callable[[Reply, Request], Any]:
    """A site that remembers the digest of what it lets out."""

    def answer(reply: Reply, request: Request) -> Any:
        said = change(reply, request)
        kept[site, request.round, request.kind] = payload_digest(said)
        return said

    return answer


def test_a_reply_that_comes_after_its_round_is_noted_as_late_with_its_digest(lab: MakeLab, receipts: Receipts) -> None:
    kept: Kept = {}
    made = lab(3)
    made.delays = {"site-c": lambda number: 10.5 if number == 1 else 0.0, "site-a": lambda number: 2.0}
    for name, site in made.sites.items():
        site.change = keeping(kept, name, lambda r, q: r)
    outcome = made.run(rounds=3, deadline_s=10.0, receipts=receipts)
    assert outcome.rounds[0]["participation"]["site-c"]["status"] == "late"
    found = [e for e in entries(receipts) if (e["site"], e["round"]) == ("site-c", 1)]
    assert [(e["status"], e["kind"], e["digest"]) for e in found] == [("late", "train", kept["site-c", 1, "train"])]
    assert found[0]["size_bytes"] > 0


def signing_app(made: Any, key_of: Callable[[str, int], Ed25519PrivateKey | None]) -> ClientApp:
    """The honest app, whose replies leave a site with the signature of `key_of` (site, round), or with none."""
    honest, app = make_app(made.site_of), ClientApp()

    def work(message: Message, context: Context) -> Message:
        reply, asked = honest(message, context), wire.peek_request(message.content)
        key = key_of(made.site_of(context).name, asked.round)
        return reply if key is None else Message(sign_reply(reply.content, asked, key), reply_to=message)

    app.train()(work)
    app.evaluate()(work)
    app.query()(honest)
    return app


@pytest.mark.parametrize("forger", [None, Ed25519PrivateKey.generate()])
def test_a_late_reply_that_its_site_did_not_sign_is_noted_without_a_digest(
    forger: Ed25519PrivateKey | None, lab: MakeLab, receipts: Receipts
) -> None:
    """Site-c is late in rounds 1 and 3; only its first reply has its own signature."""
    made, kept = lab(3), Kept()
    keys = {site: Ed25519PrivateKey.generate() for site in made.sites}
    made.app = signing_app(made, lambda site, number: forger if (site, number) == ("site-c", 3) else keys[site])
    made.delays = {"site-c": lambda number: 10.5 if number in (1, 3) else 0.0, "site-a": lambda number: 2.0}
    for name, site in made.sites.items():
        site.change = keeping(kept, name, lambda r, q: r)
    signers = {site: public_text(key) for site, key in keys.items()}
    made.run(rounds=4, deadline_s=10.0, receipts=receipts, signers=lambda: signers)
    late = {e["round"]: e["digest"] for e in entries(receipts) if e["status"] == "late"}
    assert late == {1: kept["site-c", 1, "train"], 3: None}


def test_every_reply_is_noted_with_the_digest_that_the_site_has(lab: MakeLab, receipts: Receipts) -> None:
    kept: Kept = {}
    made = lab(3)
    for name, site in made.sites.items():
        site.change = keeping(kept, name, lambda r, q: r)
    outcome = made.run(rounds=2, receipts=receipts)
    found = {(e["site"], e["round"], e["kind"]): e for e in entries(receipts)}
    assert {where: entry["digest"] for where, entry in found.items()} == kept
    assert {kind for _, _, kind in found} == {"train", "evaluate"}
    assert len(entries(receipts)) == len(found)
    for entry in found.values():
        assert (entry["study"], entry["run"], entry["status"]) == (made.job().study, outcome.state.run, "accepted")
    for record in outcome.rounds[:2]:
        for site, told in record["participation"].items():
            assert found[site, record["round"], "train"]["size_bytes"] == told["bytes_up"]


BAD: dict[str, tuple[Callable[[Reply, Request], Any], str, str, bool]] = {
    "refused by the site": (lambda r, q: Refusal("REFUSED_BY_POLICY"), "refused", "REFUSED_BY_POLICY", False),
    "diverged": (lambda r, q: Refusal("TRAINING_DIVERGED"), "failed", "TRAINING_DIVERGED", False),
    "not counted": (lambda r, q: replace(r, examples=10**12), "refused", "examples", True),
    "not read": (lambda r, q: replace(r, evaluations={"train": {}}), "failed", "TRAINING_FAILED", False),
    "of no digest": (lambda r, q: replace(r, train={"\ud800": 1.0}), "refused", "figures", False),
}


@pytest.mark.parametrize("name", BAD)
def test_a_reply_that_does_not_count_is_noted_too(name: str, lab: MakeLab, receipts: Receipts) -> None:
    change, status, reason, has_digest = BAD[name]
    lab(3, site_b=lambda r, q: change(r, q) if q.kind == "train" else r).run(rounds=1, receipts=receipts)
    (entry,) = (e for e in entries(receipts) if (e["site"], e["kind"]) == ("site-b", "train"))
    assert (entry["status"], reason in entry["reason"]) == (status, True)
    assert (entry["digest"] is not None) == has_digest


def garbling_app(made: Any, site: str) -> ClientApp:
    """The honest app, but one site's training replies lose their head on the way."""
    honest, app = make_app(made.site_of), ClientApp()

    def train(message: Message, context: Context) -> Message:
        reply = honest(message, context)
        if made.site_of(context).name == site:
            reply.content["head"] = ConfigRecord({"json": "{"})
        return reply

    app.train()(train)
    app.evaluate()(honest)
    app.query()(honest)
    return app


def test_a_reply_that_cannot_be_read_is_noted_without_a_digest(lab: MakeLab, receipts: Receipts) -> None:
    made = lab(3)
    made.app = garbling_app(made, "site-b")
    made.run(rounds=1, receipts=receipts)
    of_b = {e["kind"]: e for e in entries(receipts) if e["site"] == "site-b"}
    assert (of_b["train"]["status"], of_b["train"]["digest"]) == ("refused", None)
    assert "JSON" in of_b["train"]["reason"]
    assert of_b["evaluate"]["digest"] is not None


class GatedSites:
    """Sites whose replies pass a real gate with a signed journal, a journal each."""

    def __init__(self, made: Any, folder: Path) -> None:
        self.journals = {name: Journal(folder / f"{name}.jsonl", durable=False, key=KEY) for name in made.sites}
        for name, site in made.sites.items():
            site.change = self.gate(name, made).release

    def gate(self, name: str, made: Any) -> Gate:
        policy = Policy(minimum_patients=0, minimum_class_patients=0)
        return Gate(name, policy, made.job().schema, self.journals[name])

    def entries(self, name: str) -> list[dict[str, Any]]:
        return [receipt.entry for receipt in read_log(self.journals[name].path).receipts]


def test_the_site_s_journal_and_the_server_s_log_match(lab: MakeLab, receipts: Receipts, tmp_path: Path) -> None:
    made = lab(3)
    sites = GatedSites(made, tmp_path)
    made.run(rounds=2, receipts=receipts)
    for name in made.sites:
        found = match(sites.entries(name), entries(receipts))
        assert (found.site, found.differences, found.agreed, found.elsewhere) == (name, (), 3, 0)


def test_what_was_garbled_on_the_way_does_not_match(lab: MakeLab, receipts: Receipts, tmp_path: Path) -> None:
    made = lab(3)
    sites = GatedSites(made, tmp_path)
    made.app = garbling_app(made, "site-b")
    made.run(rounds=1, receipts=receipts)
    (difference,) = match(sites.entries("site-b"), entries(receipts)).differences
    assert (difference.kind, difference.question.kind) == ("not read by the server", "train")
    assert match(sites.entries("site-a"), entries(receipts)).differences == ()


def test_a_reply_asked_for_again_is_noted_again(lab: MakeLab, receipts: Receipts) -> None:
    made = lab(2, site_b=lambda r, q: Refusal("REFUSED_BY_POLICY") if len(made.sites["site-b"].asked) < 3 else r)
    made.run(rounds=1, quorum=1.0, receipts=receipts)
    of_b = [(e["status"], e["digest"] is None) for e in entries(receipts) if (e["site"], e["round"]) == ("site-b", 1)]
    assert of_b == [("refused", True), ("refused", True), ("accepted", False)]


def test_without_a_log_nothing_is_written_and_the_result_is_the_same(lab: MakeLab, receipts: Receipts) -> None:
    plain = lab(3, folder="plain").run(rounds=2)
    assert not receipts.path.exists()
    noted = lab(3, folder="noted").run(rounds=2, receipts=receipts)
    assert digest_state(noted.adapter) == digest_state(plain.adapter)


def test_a_log_that_cannot_be_continued_ends_the_run(lab: MakeLab, receipts: Receipts) -> None:
    other = Receipts(receipts.path, Ed25519PrivateKey.generate(), durable=False)
    other.append(Judged("a", "s", "r", 1, "train", "accepted", None, None, 0))
    with pytest.raises(UserError, match="not signed by the key"):
        lab(2).run(rounds=1, receipts=receipts)


def test_what_could_not_be_read_has_no_digest() -> None:
    assert digest_of(None) is None
    assert digest_of(Refusal("WRONG_STUDY")) is None


def test_receipts_do_not_show_their_key(receipts: Receipts) -> None:
    assert "key" not in repr(receipts)
