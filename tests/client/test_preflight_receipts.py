"""What is said before round 1 is signed and in the journal: who can say it, what left, and how often."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import RecordDict

from client.hospital import Hospital
from client.limited_log import LIMIT
from common import receipts, wire
from common.errors import SchemaError
from common.keys import public_text, read_signing_key
from common.preflight import MESSAGE_KIND, Question, Readiness, read_readiness
from common.receipt_check import read_log, verify
from common.signed_reply import check_readiness, check_signature, without_signature

Make = Callable[..., Any]
Ask = Callable[..., Any]
KINDS = ("run", "nonce", "study", "adapter_schema", "bundle")


def question(site: Any, **changes: str) -> Question:
    bundle = site.bundle
    fields = {"study": bundle.study.digest, "adapter_schema": bundle.schema.digest, "bundle": bundle.digest}
    return Question(**{"run": "run-1", "nonce": "0" * 32, **fields, **changes})


@dataclass(frozen=True)
class Said:
    """An answer as it left, and what it says."""

    content: wire.Content

    @property
    def readiness(self) -> Readiness:
        return read_readiness(wire.decode_value(without_signature(self.content)))


def ask(hospital: Hospital, asked: Question) -> Said:
    return Said(hospital.respond(MESSAGE_KIND, wire.encode_value(asked.model_dump())))


def public(site: Any) -> str:
    return public_text(read_signing_key(site.folder.signing_key))


def entries(site: Any) -> list[dict[str, Any]]:
    assert verify(site.folder.journal, public(site)) == []
    return [receipt.entry for receipt in read_log(site.folder.journal).receipts]


def test_an_answer_is_signed_as_that_to_one_question(make_site: Make) -> None:
    site = make_site()
    site.approve()
    asked = question(site)
    said = ask(site.hospital(), asked)
    assert said.readiness.is_ready
    check_readiness(said.content, asked, public(site))
    others = {"run": "run-2", "nonce": "1" * 32, **dict.fromkeys(("study", "adapter_schema", "bundle"), "sha256:0")}
    for name in KINDS:
        with pytest.raises(SchemaError, match="of another question"):
            check_readiness(said.content, asked.model_copy(update={name: others[name]}), public(site))
    forged = wire.encode_value(Readiness(problems=("PAUSED",)).model_dump(mode="json"))
    with pytest.raises(SchemaError, match="of another question"):
        check_readiness(RecordDict({**forged, "signature": said.content["signature"]}), asked, public(site))


def test_what_was_said_is_in_the_journal_with_its_digest_and_bytes(make_site: Make) -> None:
    site = make_site()
    site.approve()
    said = ask(site.hospital(), question(site)).readiness
    (entry,) = entries(site)
    found = [entry[name] for name in ("decision", "kind", "round", "run", "study", "tensors", "reason")]
    assert found == ["released", "preflight", 0, "run-1", site.bundle.study.digest, 0, None]
    assert (entry["digest"], entry["size_bytes"]) == (said.digest, len(said.content))
    assert said.digest is not None


@pytest.mark.parametrize("word", ["NOT_APPROVED", "PAUSED", "POLICY"])
def test_a_word_of_refusal_is_signed_and_noted_as_one(word: str, make_site: Make) -> None:
    site = make_site()
    if word != "NOT_APPROVED":
        site.approve()
    if word == "PAUSED":
        site.folder.paused.touch()
    if word == "POLICY":
        site.set_policy(methods=())
    asked = question(site)
    said = ask(site.hospital(), asked)
    check_readiness(said.content, asked, public(site))
    assert said.readiness == Readiness(problems=(word,))  # type: ignore[arg-type] # one of the words
    (entry,) = entries(site)
    assert (entry["decision"], entry["reason"], entry["digest"], entry["size_bytes"]) == ("refused", word, None, 0)


def test_what_is_asked_without_end_is_answered_so_often_and_each_answer_is_noted(make_site: Make) -> None:
    site = make_site()
    site.approve()
    hospital = site.hospital()
    said = [ask(hospital, question(site, nonce=f"{i:032x}")).readiness for i in range(LIMIT + 3)]
    assert [each.is_ready for each in said] == [True] * LIMIT + [False] * 3
    assert said[-1] == Readiness(problems=("POLICY",))
    noted = entries(site)
    assert [entry["decision"] for entry in noted] == ["released"] * LIMIT + ["refused"] * 3
    assert [entry["digest"] for entry in noted] == [each.digest for each in said]


def test_a_refusal_of_training_is_signed_too(make_site: Make, ask: Ask) -> None:
    site = make_site()
    for change in (lambda: None, lambda: (site.approve(), site.folder.paused.touch())):
        change()
        request = ask(site.bundle)
        content = wire.encode_request(request, wire.pack_adapter(request.shared, site.bundle.schema))
        answer = site.hospital().respond("train", content)
        check_signature(answer, request, public(site))
    assert site.journal() == [("refused", "NOT_APPROVED"), ("refused", "PAUSED")]


def test_a_journal_that_cannot_be_continued_lets_nothing_out(make_site: Make) -> None:
    site = make_site()
    site.approve()
    site.folder.journal.parent.mkdir(parents=True, exist_ok=True)
    receipts.append(site.folder.journal, {"site": "x"}, Ed25519PrivateKey.generate(), durable=False)
    content = ask(site.hospital(), question(site)).content
    assert set(content) == {"head"}, "a word, without what was to be said"
