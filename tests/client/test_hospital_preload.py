"""The one approved study is loaded when the trainer starts; what is in the way is told, and the trainer serves."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from client.hospital import Hospital
from client.service import serve
from client.trainer_connection import connect
from common.protocol import Refusal, Reply, Request
from common.state import digest_state

Ask = Callable[..., Request]
Make = Callable[..., Any]


def test_the_first_message_finds_the_study_loaded_and_gets_the_same_answer(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    hospital, late = site.hospital(), site.hospital()
    hospital.preload()
    assert hospital.status()["resident"] == site.bundle.digest
    assert hospital.status()["loading"] is None
    replies = [site.sent(each, ask(site.bundle)) for each in (hospital, late)]
    assert all(isinstance(reply, Reply) for reply in replies)
    assert digest_state(replies[0].update) == digest_state(replies[1].update)
    assert [each.base_model_loads for each in (hospital, late)] == [1, 1]


def test_nothing_is_loaded_where_none_or_two_are_approved(make_site: Make) -> None:
    site = make_site()
    hospital = site.hospital()
    hospital.preload()
    site.approve()
    site.approve_other("training.local_epochs=2")
    hospital.preload()
    assert hospital.base_model_loads == 0


@pytest.mark.parametrize(
    ("hinder", "words", "word"),
    [
        (lambda site: site.folder.paused.touch(), "PAUSED", "PAUSED"),
        (lambda site: site.set_policy(methods=("prefix",)), "REFUSED_BY_POLICY", "REFUSED_BY_POLICY"),
        (lambda site: (site.folder.path.parent / "rows.csv").unlink(), "cannot be loaded", "TRAINING_FAILED"),
    ],
)
def test_what_is_in_the_way_is_told_and_refuses_the_message(
    hinder: Callable[[Any], object], words: str, word: str, make_site: Make, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site()
    site.approve()
    hinder(site)
    hospital = site.hospital()
    with caplog.at_level(logging.WARNING, "fedpeft.site"):
        hospital.preload()
    assert words in caplog.text
    assert hospital.status()["loading"] is None
    assert hospital.base_model_loads == 0
    assert not site.folder.journal.exists()
    assert site.sent(hospital, ask(site.bundle)) == Refusal(word)


@dataclass
class Watched(Hospital):
    """Looks at the site through its socket, as `fedpeft site status` does, when the load begins."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    def _load(self, agreed: Any) -> Any:
        with connect(self.folder) as trainer:
            self.seen.append(trainer.status(timeout_s=10))
        return super()._load(agreed)


def test_the_socket_says_that_it_is_loading(make_site: Make) -> None:
    site = make_site()
    site.approve()
    hospital = Watched(site.folder)
    service = serve(hospital, site.folder)
    try:
        service.desk.begin_with(hospital.preload)
        assert service.desk.ask("query", {}) is not None  # comes after it
        assert service.stop(60)
    finally:
        service.stop(1)
    assert [(seen["loading"], seen["resident"], seen["busy"]) for seen in hospital.seen] == [
        (site.bundle.digest, None, True)
    ]
    assert hospital.status()["resident"] == site.bundle.digest
