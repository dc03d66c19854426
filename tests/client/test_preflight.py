"""What a site says before round 1: each obstacle by its word, and nothing that counts its patients."""

import csv
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from client.execution import Execution
from client.hours import DAYS
from client.memory import free_bytes, needed_bytes
from common import wire
from common.metrics.classes import ClassMeasure
from common.preflight import MESSAGE_KIND, Question, Readiness, read_readiness
from common.protocol import Refusal
from common.signed_reply import without_signature
from common.state import AdapterSchema

Make = Callable[..., Any]


def question(site: Any, **changes: str) -> Question:
    bundle = site.bundle
    fields = {"study": bundle.study.digest, "adapter_schema": bundle.schema.digest, "bundle": bundle.digest}
    return Question(**{"run": "run-1", "nonce": "0" * 32, **fields, **changes})


def said(site: Any, **changes: str) -> Readiness:
    content = site.hospital().respond(MESSAGE_KIND, wire.encode_value(question(site, **changes).model_dump()))
    return read_readiness(wire.decode_value(without_signature(content)))


def changed_settings(site: Any, old: str, new: str) -> None:
    text = site.folder.settings.read_text()
    assert old in text
    site.folder.settings.write_text(text.replace(old, new))


def test_a_site_where_the_study_can_work_is_ready_and_says_how_much_memory_it_takes(make_site: Make) -> None:
    site = make_site()
    site.approve()
    found = said(site)
    assert (found.problems, found.notes) == ((), ())
    assert found.needed_bytes is not None
    assert found.free_bytes is not None
    assert 0 < found.needed_bytes < found.free_bytes
    assert found.versions["torch"] is not None


def test_who_asks_about_an_unapproved_study_learns_one_word(make_site: Make) -> None:
    site = make_site()
    nothing_else = Readiness(problems=("NOT_APPROVED",))
    assert said(site) == nothing_else
    site.approve()
    assert said(site, bundle="sha256:" + "0" * 64) == nothing_else
    site.folder.paused.touch()
    assert said(site) == Readiness(problems=("PAUSED",))
    site.folder.paused.unlink()
    site.set_policy(methods=())
    assert said(site) == Readiness(problems=("POLICY",))


def test_an_unapproved_study_and_another_bundle_are_not_approved(make_site: Make) -> None:
    site = make_site()
    assert said(site).problems == ("NOT_APPROVED",)
    site.approve()
    other = "sha256:" + "0" * 64
    assert [said(site, **{key: other}).problems for key in ("study", "adapter_schema", "bundle")] == [
        ("NOT_APPROVED",)
    ] * 3


def test_a_paused_site_says_so(make_site: Make) -> None:
    site = make_site()
    site.approve()
    site.folder.paused.touch()
    assert said(site).problems == ("PAUSED",)


def test_a_base_model_that_is_not_here_is_said(make_site: Make, tmp_path: Path) -> None:
    site = make_site()
    site.approve()
    other = tmp_path / "other-model"
    shutil.copytree(site.base_model, other)
    (other / "config.json").write_text((other / "config.json").read_text() + "\n")
    changed_settings(site, str(site.base_model), str(other))
    assert said(site).problems == ("NO_BASE_MODEL",)


def test_rows_that_are_not_the_study_s_are_said_without_a_word_of_theirs(make_site: Make, tmp_path: Path) -> None:
    site = make_site()
    site.approve()
    rows = tmp_path / "rows.csv"
    header, *_ = rows.read_text().splitlines()
    rows.write_text(f"{header}\n")
    assert said(site).problems == ("DATA_UNREADABLE",)


def test_too_few_patients_are_said(make_site: Make) -> None:
    site = make_site()
    site.approve()
    site.set_policy(minimum_patients=10_000)
    assert said(site).problems == ("TOO_FEW_PATIENTS",)


@pytest.mark.parametrize(("override", "notes"), [("none", ("ONE_LABEL",)), ("patient-dp", ())])
def test_whether_all_rows_have_one_label_is_said_where_no_patient_is_to_be_hidden(
    override: str, notes: tuple[str, ...], make_site: Make, tmp_path: Path
) -> None:
    """One patient with another label would change the word."""
    site = make_site(f"privacy.mechanism={override}")
    site.approve()
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    target = site.bundle.study.task.target
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row for row in rows if row[target] == rows[0][target])
    assert said(site).notes == notes


def test_a_device_that_is_not_there_is_said(make_site: Make) -> None:
    site = make_site()
    site.approve()
    changed_settings(site, 'device = "cpu"', 'device = "cuda:7"')
    assert said(site).problems == ("DEVICE_MISSING",)


def test_hours_are_said_as_hours(make_site: Make) -> None:
    site = make_site()
    site.approve()
    now = datetime.now()
    day = DAYS[(now.weekday() + 3) % 7]
    site.set_policy(hours=(f"{day} 00:00-24:00",))
    assert said(site).problems == ("OUTSIDE_HOURS",)


def test_what_nobody_foresaw_is_in_the_site_s_own_log_and_one_word_outside(
    make_site: Make, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site()
    site.approve()
    site.folder.storage_key.chmod(0o644)
    assert said(site).problems == ("NOT_OPENED",)
    assert "storage.key" in caplog.text


@pytest.mark.parametrize("value", ["ready?", {}, {"study": "x"}, [1]])
def test_what_is_no_question_is_refused(value: object, make_site: Make) -> None:
    site = make_site()
    content = site.hospital().respond(MESSAGE_KIND, wire.encode_value(value))
    assert wire.decode_answer(content, AdapterSchema(()), measure=ClassMeasure(2)) == Refusal("MALFORMED_REQUEST")


def test_a_larger_study_needs_more_memory(make_site: Make) -> None:
    site = make_site()
    study, schema, execution = site.bundle.study, site.bundle.schema, Execution()

    def needed(**training: int) -> int:
        changed = study.model_copy(update={"training": study.training.model_copy(update=training)})
        return needed_bytes(site.base_model, changed, schema, execution)

    assert needed(batch_size=8) < needed(batch_size=64)
    twice = needed(batch_size=32) - needed(batch_size=16)
    assert needed(batch_size=64) - needed(batch_size=32) == pytest.approx(2 * twice)


def test_free_memory_is_read_from_the_system(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  100 kB\nMemAvailable:   37 kB\n")
    assert free_bytes(Execution(), meminfo) == 37 * 1024
    assert (free_bytes(Execution(), tmp_path / "absent") or 1) > 0
