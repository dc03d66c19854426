"""What a site's trainer decides on every message, before and while it works."""

import json
from collections.abc import Callable
from typing import Any

from common.answers import to_json
from common.protocol import Reply, Request
from common.state import digest_state

Ask = Callable[..., Request]
Make = Callable[..., Any]


def journal(site: Any) -> list[tuple[str, str | None]]:
    lines = [json.loads(line) for line in site.folder.journal.read_text().splitlines()]
    return [(line["decision"], line["reason"]) for line in lines if "decision" in line]


def test_an_approved_study_is_answered_the_same_after_a_restart(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    hospital, request = site.hospital(), ask(site.bundle)
    first = site.sent(hospital, request)
    assert isinstance(first, Reply)
    again = site.sent(site.hospital(), request)
    assert isinstance(again, Reply)
    assert digest_state(again.update) == digest_state(first.update)
    assert journal(site) == [("released", None), ("repeated", None)]


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
