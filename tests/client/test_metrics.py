"""A site's figures: those of its own answers, with labels of ours alone, and nothing of a patient."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from client.ledger import open_ledger
from client.metrics import fresh, largest_spent, registry_of
from client.policy import read_policy
from client.textfile import write_textfile
from common.protocol import Reply, Request

Ask = Callable[..., Request]
Make = Callable[..., Any]
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def series(text: str) -> Series:
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(found: Series, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def test_the_figures_are_those_of_what_was_answered(make_site: Make, ask: Ask) -> None:
    site = make_site()
    hospital, worked = site.hospital(), fresh()
    registry = registry_of(site.folder, worked)
    found = series(generate_latest(registry).decode())
    assert value(found, "fedpeft_site_sent_bytes_total") == value(found, "fedpeft_site_epsilon_spent") == 0
    site.sent(hospital, ask(site.bundle))  # nobody has approved it
    site.approve()
    sent = [site.sent(hospital, ask(site.bundle, round=number)) for number in (1, 2)]
    assert all(isinstance(reply, Reply) for reply in sent)
    worked.note("train", 1.5, 1e9)
    worked.note("'; DROP TABLE", 0.5, 2e9)
    found = series(generate_latest(registry).decode())
    assert value(found, "fedpeft_site_answers_total", kind="train", decision="released") == 2
    assert value(found, "fedpeft_site_refusals_total", reason="NOT_APPROVED") == 1
    assert value(found, "fedpeft_site_trained_rows_total") == sum(reply.examples for reply in sent)
    size = sum(array.nbytes for reply in sent for array in reply.update.values())
    assert value(found, "fedpeft_site_sent_bytes_total") == size
    assert value(found, "fedpeft_site_work_seconds_total", action="train") == 1.5
    assert value(found, "fedpeft_site_messages_total", action="other") == 1
    assert value(found, "fedpeft_site_last_message_timestamp_seconds") == 2e9
    assert value(found, "fedpeft_site_epsilon_limit") == read_policy(site.folder.policy).privacy_epsilon
    assert value(found, "process_resident_memory_bytes") > 1e6


def test_what_was_spent_is_what_the_ledger_says_of_the_patient_of_whom_most_was(make_site: Make) -> None:
    from client.ledger import ChargeKey, Limit
    from common.privacy._accounting import Spending

    site = make_site()
    ledger = open_ledger(site.folder)
    for number, patients in enumerate([["a", "b"], ["b"], ["c"]], start=1):
        key = ChargeKey(study="s", run="r", round=number, kind="train", request=f"q{number}")
        ledger.charge(key, patients, Spending(1.0, 0.1, 10), limit=Limit(50.0, 1e-5))
    expected = ledger.spent(["b"], delta=1e-5)
    assert largest_spent(ledger, delta=1e-5) == pytest.approx(expected)
    assert expected > ledger.spent(["a"], delta=1e-5) > 0


def test_the_labels_are_of_fixed_words_and_no_patient_is_among_the_figures(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    site.sent(site.hospital(), ask(site.bundle))
    text = generate_latest(registry_of(site.folder, fresh())).decode()
    names = {name for _, labels in series(text) for name, _ in labels}
    assert names <= {
        "kind",
        "decision",
        "reason",
        "action",
        "implementation",
        "major",
        "minor",
        "patchlevel",
        "version",
    }
    assert str(site.folder.path) not in text
    assert "clinic" not in text


def test_the_file_is_whole_or_the_old_one(make_site: Make, tmp_path: Path) -> None:
    site = make_site()
    path = tmp_path / "metrics" / "fedpeft.prom"
    write_textfile(path, registry_of(site.folder, fresh()))
    before = path.read_text()
    assert series(before)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]
