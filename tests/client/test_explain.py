"""What a person reads before they agree: true to the bundle, the rows and the policy."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.approval import read_signed
from client.explain import Explanation, explain
from client.ledger import open_ledger
from client.policy import read_policy
from client.rows import read_rows
from client.settings import read_settings
from common.compressing import compression_of
from common.keys import fingerprint
from simulations.catalogue import load

Make = Callable[..., Any]


def explained(real: Any, **settings: Any) -> Explanation:
    found = read_settings(real.folder).model_copy(update=settings)
    return explain(read_signed(real.source), found, read_policy(real.folder.policy), open_ledger(real.folder))


def test_every_tensor_that_would_leave_is_named_with_its_bytes(make_site: Make) -> None:
    site = make_site("peft.private=['head.*']")
    found = explained(site)
    text = "\n".join(found.lines)
    shared, rounds = site.bundle.schema.shared, site.bundle.study.federation.rounds
    for tensor in shared.tensors:
        assert f"{tensor.name} {list(tensor.shape)} float32, {tensor.size_bytes} bytes" in text
    assert f"{shared.size_bytes} bytes a round, {rounds * shared.size_bytes} bytes in all" in text
    assert f"stays         {', '.join(site.bundle.schema.private.names)}" in text
    assert found.objections == ()


@pytest.mark.parametrize("method", ["none", "int8", "top-k"])
def test_how_updates_are_compressed_is_said_with_the_bytes_that_leave(method: str, make_site: Make) -> None:
    site = make_site(f"compression.method='{method}'")
    text = "\n".join(explained(site).lines)
    shared, compression = site.bundle.schema.shared, compression_of(site.bundle.study.compression)
    size, rounds = compression.wire_schema(shared).size_bytes, site.bundle.study.federation.rounds
    assert f"{size} bytes a round, {rounds * size} bytes in all" in text
    assert f"compressed    {compression.in_words}" in text
    assert (f"the tensors have {shared.size_bytes} bytes, of which {size} leave" in text) is (method != "none")


def test_rows_patients_and_labels_are_those_here(make_site: Make) -> None:
    site = make_site()
    text = "\n".join(explained(site).lines)
    rows = read_rows(read_settings(site.folder).rows, site.bundle.study)
    yes = int(rows.labels.sum())
    patients = len(set(rows.patients))
    assert f"{len(rows)} rows of {patients} patients (no {len(rows) - yes}, yes {yes})" in text
    assert "columns age, note; label outcome; patients by patient" in text


def test_terms_are_said_plainly(make_site: Make) -> None:
    site = make_site()
    site.set_policy(release_histograms=False, metrics=("auroc",), minimum_patients=3, minimum_class_patients=2)
    text = "\n".join(explained(site).lines)
    assert "privacy       none: no noise is added" in text
    assert "summaries     no" in text
    assert "metrics       auroc; " in text
    assert "fewer than 3 patients, or 2 of a class" in text
    assert f"{site.bundle.study.federation.rounds} rounds" in text
    assert "sites         east, north, west" in text
    assert site.bundle.digest in text
    assert fingerprint(read_settings(site.folder).coordinator.signing_key) in text
    site.set_policy(release_histograms=True)
    assert "summaries     yes: score histograms, or sums over rows and products of two" in "\n".join(
        explained(site).lines
    )


@pytest.mark.parametrize("is_set", [False, True])
def test_what_ends_the_rounds_and_what_holds_training_back_is_said(is_set: bool, make_site: Make) -> None:
    options = (
        "federation.patience=2",
        "training.regulariser={kind='ewc', weight=10.0, rows=4}",
        "task.criterion={name='focal', gamma=3.0}",
    )
    site = make_site(*(options if is_set else ()))
    text = "\n".join(explained(site).lines)
    rounds = site.bundle.study.federation.rounds
    assert (f"{rounds} rounds or fewer: they end after 2 without" in text) is is_set
    assert ("holds training near its start by ewc, weight 10" in text) is is_set
    assert ('its loss: {"name": "focal", "gamma": 3.0}' in text) is is_set


def test_no_text_of_a_row_is_shown(make_site: Make) -> None:
    site = make_site()
    rows = read_rows(read_settings(site.folder).rows, site.bundle.study)
    text = "\n".join(explained(site).lines)
    assert not [note for note in rows.inputs if note in text]
    assert not [patient for patient in set(rows.patients) if patient in text]


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"data": None}, "names no rows"),
        ({"data": Path("nowhere.csv")}, "does not exist"),
        ({"base_models": ()}, "no base model of site.toml is the study's"),
        ({"site": "south"}, "not on the study's roster"),
    ],
)
def test_what_is_missing_here_is_an_objection(make_site: Make, settings: dict[str, Any], found: str) -> None:
    (only,) = explained(make_site(), **settings).objections
    assert found in only


def test_what_the_policy_forbids_is_an_objection(make_site: Make) -> None:
    site = make_site()
    site.set_policy(minimum_patients=1000, methods=("prefix",))
    first, second = explained(site).objections
    assert "lora" in first
    assert "patients to train on, the policy asks for 1000" in second


def test_no_text_of_a_coordinator_moves_the_cursor(make_site: Make) -> None:
    """A description could otherwise wipe the line that says what leaves, and write another."""
    site = make_site("description=safe\x1b[2K\rnothing leaves\u202e")
    found = explained(site)
    assert "\x1b" in site.bundle.study.description
    assert "quick: safe?[2K?nothing leaves?" in "\n".join(found.lines)
    assert all(line.isprintable() for line in [*found.lines, *found.objections])


def test_who_approves_a_decoder_is_warned_that_it_memorises(make_site: Make) -> None:
    site = make_site()
    signed, decoder = read_signed(site.source), load("quick-causal-lm", overrides=["federation.sites=['east']"])
    changed = replace(signed, bundle=replace(signed.bundle, study=decoder))
    policy, ledger = read_policy(site.folder.policy), open_ledger(site.folder)
    text = "\n".join(explain(changed, read_settings(site.folder), policy, ledger).lines)
    assert "warning       The adapter of a decoder may have memorised what it was trained on." in text
    assert "warning" not in "\n".join(explained(site).lines)


PRIVATE = ("privacy.mechanism=patient-dp", "privacy.epsilon=6.0", "training.batch_size=8", "federation.rounds=2")


def test_what_a_private_study_would_spend_is_said_before_it_is_approved(make_site: Callable[..., Any]) -> None:
    site = make_site(*PRIVATE)
    found = explained(site)
    text = "\n".join(found.lines)
    assert found.objections == ()
    assert re.search(r"spends        epsilon 0 of the \d+ training patients so far, (6|5\.9\d) after it, of", text)
    assert re.search(r"noise         [\d.]+ times one patient's most, in \d+ steps a round", text)
    assert "metrics       none, since the study hides patients; counts of rows and patients in 10s" in text
    assert "loss, gradient norms, times and metrics stay here" in text


def test_a_study_that_the_budget_has_no_room_for_is_not_approved(make_site: Callable[..., Any]) -> None:
    site = make_site(*PRIVATE)
    site.set_policy(privacy_epsilon=3.0)
    (objection,) = explained(site).objections
    assert re.search(r"to epsilon (6|5\.9\d) at delta 1e-05, and the policy allows 3", objection)
