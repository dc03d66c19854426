"""What a site's trainer counts and bounds, what it tells, and what it never does."""

import gc
import json
import logging
import re
import shutil
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from client.budget import FILE as SPENT
from client.budget import Budget
from client.hospital import Hospital
from client.limited_log import LIMIT
from client.policy import study_bytes
from client.sealing import HEAD
from common import wire
from common.keys import public_text, read_signing_key
from common.protocol import Refusal, Reply, Request, RoundPlan
from common.receipt_check import verify

Ask = Callable[..., Request]
Make = Callable[..., Any]


def test_bytes_are_counted_over_a_study_and_repetitions_are_free(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    assert isinstance(site.sent(site.hospital(), ask(site.bundle)), Reply)
    spent, limit = site.spent(), study_bytes(site.bundle, "east")
    assert spent > site.bundle.schema.shared.size_bytes
    site.set_policy(max_study_bytes=limit)
    hospital = site.hospital()
    assert isinstance(site.sent(hospital, ask(site.bundle)), Reply)
    assert site.spent() == spent
    Budget(site.folder.study_state(site.bundle.digest) / SPENT).spend(limit - spent - 1, limit=limit)
    assert site.sent(hospital, ask(site.bundle, round=2)) == Refusal("STUDY_BUDGET_SPENT")
    assert isinstance(site.sent(hospital, ask(site.bundle)), Reply), "a repetition is free"
    site.set_policy(max_study_bytes=2 * limit)
    assert isinstance(site.sent(hospital, ask(site.bundle, round=2)), Reply), "the refusal was not stored"


def test_the_whole_study_fits_into_the_bytes_that_approval_asked_for(
    make_site: Make, ask: Ask, ask_closing: Ask
) -> None:
    site = make_site()
    site.approve()
    site.set_policy(max_study_bytes=study_bytes(site.bundle, "east"))
    hospital = site.hospital()
    rounds = range(1, site.bundle.study.federation.rounds + 1)
    for request in [*(ask(site.bundle, round=number) for number in rounds), ask_closing(site.bundle)]:
        assert isinstance(site.sent(hospital, request), Reply)


def test_a_crash_between_counting_and_storing_counts_twice_and_never_less(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    assert isinstance(site.sent(site.hospital(), ask(site.bundle)), Reply)
    once = site.spent()
    shutil.rmtree(site.folder.study_state(site.bundle.digest) / "runs")
    assert isinstance(site.sent(site.hospital(), ask(site.bundle)), Reply)
    assert site.spent() >= 2 * once - 40, "but for the digits of seconds"


def test_to_revoke_and_approve_again_gives_no_bytes_back(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    assert isinstance(site.sent(site.hospital(), ask(site.bundle)), Reply)
    before = site.spent()
    site.revoke()
    site.approve()
    assert site.spent() == before
    assert site.sent(site.hospital(), ask(site.bundle, run="run-2")) == Refusal("TOO_MANY_RUNS")


def test_a_hostile_server_cannot_fill_the_journal(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    hospital = site.hospital()
    for number in range(LIMIT + 20):
        asked = ask(site.bundle, study=f"sha256:{number:064}")
        assert site.sent(hospital, asked) == Refusal("NOT_APPROVED")
    assert len(site.journal()) == LIMIT + 1
    assert isinstance(site.sent(hospital, ask(site.bundle)), Reply)
    assert site.journal()[-1] == ("released", None)
    for _ in range(LIMIT + 20):
        assert site.sent(hospital, ask(site.bundle, seed=7)) == Refusal("MALFORMED_REQUEST")
    assert len(site.journal()) == 2 * (LIMIT + 1) + 1


def test_two_studies_take_turns_and_only_one_is_loaded(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    other = site.approve_other("training.learning_rate=0.5")
    hospital = site.hospital()
    for bundle, loads in ((site.bundle, 1), (site.bundle, 1), (other, 2), (site.bundle, 3)):
        assert isinstance(site.sent(hospital, ask(bundle)), Reply)
        assert (hospital.base_model_loads, hospital.status()["resident"]) == (loads, bundle.digest)


def test_changed_settings_open_the_study_anew(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    hospital = site.hospital()
    site.sent(hospital, ask(site.bundle))
    site.folder.settings.write_text(site.folder.settings.read_text().replace("threads = 1", "threads = 2"))
    site.sent(hospital, ask(site.bundle, round=2))
    assert hospital.base_model_loads == 2


EVALUATION = Request("evaluate", "r", 1, 0, "s", "a", RoundPlan(), (), {})


@pytest.mark.parametrize("action", ["train", "evaluate", "query.other", "", "../x"])
def test_what_is_no_message_is_refused(action: str, make_site: Make) -> None:
    site = make_site()
    found = site.hospital().respond(action, wire.encode_name("x"))
    assert site.read(found, EVALUATION) == Refusal("MALFORMED_REQUEST")


@pytest.mark.parametrize("kind", ["train", "query"])
def test_no_text_of_a_failure_leaves(kind: str, make_site: Make, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site()
    site.approve()
    (site.folder.path.parent / "rows.csv").write_text("age,note,outcome,patient,site\nPATIENT-7,,no,PATIENT-7,east\n")
    if kind == "query":
        site.folder.settings.write_text("PATIENT-7 = 1\n")
    request = ask(site.bundle)
    content = wire.encode_request(request, wire.pack_adapter(request.shared, site.bundle.schema))
    with caplog.at_level(logging.DEBUG, logger="fedpeft.site"):
        found = site.hospital().respond(kind, content)
    assert site.read(found, request) == Refusal("TRAINING_FAILED")
    assert b"PATIENT-7" not in wire.to_frame(found)
    assert "a message could not be answered" in caplog.text


def test_the_status_tells_what_is_wrong_and_nothing_of_rows(make_site: Make, ask: Ask) -> None:
    site = make_site()
    made = site.approve()
    hospital = site.hospital()
    site.sent(hospital, ask(site.bundle))
    status = hospital.status()
    assert (status["site"], status["paused"], status["approved"]) == ("east", False, [made.approval.model_dump()])
    assert "rows.csv" not in json.dumps(status)
    site.folder.policy.write_text("runs = ")
    site.folder.paused.touch()
    assert "not TOML" in hospital.status()["policy"]["error"]
    assert hospital.status()["paused"]


def test_the_journal_is_signed_and_the_state_sealed(make_site: Make, ask: Ask) -> None:
    site = make_site("peft.private=['head.*']")
    site.approve()
    site.sent(site.hospital(), ask(site.bundle))
    assert verify(site.folder.journal, public_text(read_signing_key(site.folder.signing_key))) == []
    (stored,) = site.folder.state.rglob("train-*.safetensors")
    assert stored.read_bytes().startswith(HEAD)
    assert b"head.weight" not in stored.read_bytes()


@pytest.mark.parametrize(
    "stricter",
    [
        {"release_histograms": False},
        {"metrics": ("auroc",)},
        {"minimum_class_patients": 10**6},
        {"tensors": ("head.*",)},
        {"max_update_norm": 1e-9},
    ],
)
def test_a_stored_answer_leaves_again_only_under_the_policy_of_now(
    stricter: dict[str, Any], make_site: Make, ask: Ask
) -> None:
    site = make_site()
    site.approve()
    hospital, request = site.hospital(), ask(site.bundle)
    assert isinstance(site.sent(hospital, request), Reply)
    site.set_policy(**stricter)
    assert site.sent(hospital, request) == Refusal("REFUSED_BY_POLICY")
    site.set_policy()
    assert isinstance(site.sent(hospital, request), Reply)


class Watching(Hospital):
    """Notes, whenever a base model is about to be loaded, whether an earlier one is still in memory."""

    earlier: list["weakref.ref[Any]"]
    held: list[bool]

    def _load(self, agreed: Any) -> Any:
        gc.collect()
        self.held.append(any(each() is not None for each in self.earlier))
        made = super()._load(agreed)
        self.earlier.append(weakref.ref(made.trainer.bench.model))
        return made


def test_never_are_two_base_models_in_memory(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    hospital = Watching(site.folder)
    hospital.earlier, hospital.held = [], []
    for number, threads in ((1, 1), (2, 2), (3, 1)):
        text = site.folder.settings.read_text()
        site.folder.settings.write_text(re.sub(r"threads = \d", f"threads = {threads}", text))
        assert isinstance(site.sent(hospital, ask(site.bundle, round=number)), Reply)
    assert (hospital.base_model_loads, hospital.held) == (3, [False] * 3)
