"""What a site's trainer decides on every message, before and while it works."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from client.hospital import Hospital
from common import wire
from common.answers import to_json
from common.protocol import Refusal, Reply, Request, RoundPlan
from common.state import digest_state

Ask = Callable[..., Request]
Make = Callable[..., Any]
TUESDAY = datetime(2026, 11, 24, 8, 30)
EVALUATION = Request("evaluate", "r", 1, 0, "s", "a", RoundPlan(), (), {})


def test_an_approved_study_is_answered_the_same_after_a_restart(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    hospital, request = site.hospital(), ask(site.bundle)
    first = site.sent(hospital, request)
    assert isinstance(first, Reply)
    again = site.sent(site.hospital(), request)
    assert isinstance(again, Reply)
    assert digest_state(again.update) == digest_state(first.update)
    assert site.journal() == [("released", None), ("repeated", None)]


def test_the_reply_is_that_of_a_simulated_site(make_site: Make, make_trainer: Make, ask: Ask) -> None:
    site, trainer = make_site(), make_trainer()
    site.approve()
    request = ask(trainer.bundle)
    assert site.bundle.digest == trainer.bundle.digest
    real, simulated = site.sent(site.hospital(), request), trainer.answer(request)
    assert isinstance(real, Reply)
    assert isinstance(simulated, Reply)
    assert digest_state(real.update) == digest_state(simulated.update)
    said = [to_json(reply)["evaluations"] for reply in (real, simulated)]
    assert said[0] == said[1]


def test_the_base_model_is_loaded_once(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    hospital = site.hospital()
    for number in (1, 2, 3):
        assert isinstance(site.sent(hospital, ask(site.bundle, round=number)), Reply)
    assert hospital.base_model_loads == 1
    assert hospital.status()["base_model_loads"] == 1
    assert hospital.status()["resident"] == site.bundle.digest


def test_a_study_that_nobody_approved_gets_nothing(make_site: Make, ask: Ask) -> None:
    site = make_site()
    assert site.sent(site.hospital(), ask(site.bundle)) == Refusal("NOT_APPROVED")
    assert site.journal() == [("refused", "NOT_APPROVED")]
    assert not site.folder.study_state(site.bundle.digest).exists()


def test_a_query_is_answered_with_the_name(make_site: Make) -> None:
    site = make_site(site="west")
    assert wire.decode_name(site.hospital().respond("query", wire.encode_query())) == "west"
    site.folder.paused.touch()
    paused = site.hospital().respond("query", wire.encode_query())
    assert site.read(paused, EVALUATION) == Refusal("PAUSED")


def test_pause_and_resume_hold_from_the_next_message(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    hospital = site.hospital()
    site.folder.paused.touch()
    assert site.sent(hospital, ask(site.bundle)) == Refusal("PAUSED")
    site.folder.paused.unlink()
    assert isinstance(site.sent(hospital, ask(site.bundle)), Reply)
    site.folder.paused.touch()
    assert site.sent(hospital, ask(site.bundle)) == Refusal("PAUSED"), "nor does a stored answer leave"


def change_bundle(site: Any) -> None:
    path = site.folder.approval(site.bundle.digest) / "initial.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")


def change_signature(site: Any) -> None:
    path = site.folder.approval(site.bundle.digest) / "endorsement.json"
    path.write_text(path.read_text().replace('"bundle": "sha256:', '"bundle": "sha256:0'))


def remove_policy(site: Any) -> None:
    site.folder.policy.unlink()


def break_policy(site: Any) -> None:
    site.folder.policy.write_text("runs = ")


def rules(**changes: Any) -> Callable[[Any], None]:
    return lambda site: site.set_policy(**changes) and None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda site: site.revoke(), "NOT_APPROVED"),
        (change_bundle, "NOT_APPROVED"),
        (change_signature, "NOT_APPROVED"),
        (remove_policy, "REFUSED_BY_POLICY"),
        (break_policy, "REFUSED_BY_POLICY"),
        (rules(coordinators=()), "REFUSED_BY_POLICY"),
        (rules(methods=("prefix",)), "REFUSED_BY_POLICY"),
        (rules(tensors=("head.*",)), "REFUSED_BY_POLICY"),
        (rules(max_update_bytes=1), "REFUSED_BY_POLICY"),
        (rules(minimum_patients=1000), "TOO_FEW_PATIENTS"),
        (rules(hours=("Mo 08:00-09:00",)), "OUTSIDE_HOURS"),
    ],
)
def test_what_the_hospital_changes_holds_from_the_next_message(
    change: Callable[[Any], None], word: str, make_site: Make, ask: Ask
) -> None:
    site = make_site()
    site.approve()
    hospital = Hospital(site.folder, now=lambda: TUESDAY)
    assert isinstance(site.sent(hospital, ask(site.bundle)), Reply)
    change(site)
    assert site.sent(hospital, ask(site.bundle)) == Refusal(word)
    assert site.sent(Hospital(site.folder, now=lambda: TUESDAY), ask(site.bundle, round=2)) == Refusal(word)
    assert [decision for decision, _ in site.journal()] == ["released", "refused", "refused"]


@dataclass
class Clock:
    """A clock that does something when it is looked at for the n-th time: at each step and before each release."""

    act: Callable[[], object]
    looks: int = 6
    seen: int = 0

    def __call__(self) -> datetime:
        self.seen += 1
        if self.seen == self.looks:
            self.act()
        return TUESDAY + timedelta(hours=self.seen >= self.looks)


IN_MID_TRAINING: dict[str, tuple[Callable[[Any], object], tuple[str, ...]]] = {
    "PAUSED": (lambda site: site.folder.paused.touch(), ()),
    "NOT_APPROVED": (lambda site: site.revoke(), ()),
    "OUTSIDE_HOURS": (lambda site: None, ("Tu 08:00-09:00",)),
}


@pytest.mark.parametrize("word", IN_MID_TRAINING)
def test_training_stops_at_its_next_step_and_may_be_asked_for_again(word: str, make_site: Make, ask: Ask) -> None:
    site, (act, hours) = make_site("training.batch_size=2"), IN_MID_TRAINING[word]
    site.approve()
    site.set_policy(hours=hours)
    clock = Clock(lambda: act(site))
    hospital, request = Hospital(site.folder, now=clock), ask(site.bundle)
    assert site.sent(hospital, request) == Refusal(word)
    assert clock.looks <= clock.seen <= clock.looks + 1, "it did not go on"
    site.folder.paused.unlink(missing_ok=True)
    site.set_policy()
    if word == "NOT_APPROVED":
        site.approve()
    assert isinstance(site.sent(hospital, request), Reply)
    assert hospital.base_model_loads == 1
    assert site.journal() == [("refused", word), ("released", None)]


def test_a_pause_while_rows_are_scored_keeps_their_metrics(make_site: Make, ask_closing: Ask) -> None:
    """An evaluation has no steps: the site looks before it, and once more before anything is let out."""
    site = make_site()
    site.approve()
    hospital = Hospital(site.folder, now=Clock(site.folder.paused.touch, looks=1))
    assert site.sent(hospital, ask_closing(site.bundle)) == Refusal("PAUSED")
    site.folder.paused.unlink()
    assert isinstance(site.sent(hospital, ask_closing(site.bundle)), Reply)


def test_an_interrupted_round_is_trained_as_if_it_had_never_begun(
    make_site: Make, make_trainer: Make, ask: Ask
) -> None:
    private = "peft.private=['head.*']"
    site, trainer = make_site(private), make_trainer(private)
    site.approve()
    hospital = Hospital(site.folder, now=Clock(site.folder.paused.touch))
    for number in (1, 2):
        request = ask(trainer.bundle, round=number)
        if number == 1:
            assert site.sent(hospital, request) == Refusal("PAUSED")
            site.folder.paused.unlink()
        real, simulated = site.sent(hospital, request), trainer.answer(request)
        assert isinstance(real, Reply)
        assert isinstance(simulated, Reply)
        assert digest_state(real.update) == digest_state(simulated.update)
