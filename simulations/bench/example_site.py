"""A real site's folder that has answered for days, of made-up patients: what pictures of its dashboard are taken of.

Its answers are made as any site makes them; only the times in the journal are spread over days, and signed anew.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any  # entries are JSON

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.approval import approve, read_signed
from client.hospital import Hospital
from client.initialise import initialise, read_join
from client.policy import Policy, read_policy
from client.policy_text import policy_text
from client.site_folder import SiteFolder
from client.table_files import read_raw
from common import endorsement, wire
from common.bundle import Bundle
from common.files import digest_bytes, write_bytes
from common.keys import read_signing_key
from common.metrics.classes import ClassMeasure
from common.preparation import prepare
from common.protocol import Refusal, Request, RoundPlan, asked_schema
from common.receipt_check import read_log
from common.receipts import FORMAT, link, signed_line
from common.signed_reply import without_signature
from common.state import AdapterState
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.initialise import initialise as make_coordinator
from simulations.catalogue import base_folder, load, rows_path
from simulations.export_sites import csv_of

SITE, ROUNDS, DAYS = "hill", 6, 9
REPEATED, REFUSED = 2, 4
"""Rounds that are asked for twice, and once while the site is paused."""
_DESCRIPTION = "description='Readmission, from the note at discharge'"
_ROSTER = ("federation.sites=['hill','lake','wood']",)
_STUDIES: Mapping[str, Sequence[str]] = {
    "readmission": ("training.local_epochs=5",),
    "readmission-private": ("privacy.mechanism=patient-dp", "privacy.epsilon=6.0", "training.local_epochs=2"),
}


@dataclass(frozen=True)
class _Made:
    """What the studies of an example share."""

    folder: Path
    place: SiteFolder
    key: Ed25519PrivateKey


def make_site(folder: Path) -> SiteFolder:
    """Make a coordinator and a site in `folder`, two studies that the site approved, and its answers to both."""
    make_coordinator(folder / "coordinator", hosts=["fed.example.org"], name="Example coordinator")
    coordinator, place = CoordinatorFolder(folder / "coordinator"), SiteFolder(folder / SITE)
    study = load("quick-clinical")
    raw = read_raw(rows_path(study, folder / "scratch"))
    write_bytes(folder / "rows.csv", csv_of(raw, [i for i, name in enumerate(raw["site"]) if name == SITE]))
    base = base_folder(study, folder / "scratch")
    initialise(place, site=SITE, join=coordinator.join, data=folder / "rows.csv", base_models=[base])
    _set_policy(place, coordinator.join)
    made = _Made(folder, place, read_signing_key(coordinator.signing_key))
    for name, overrides in _STUDIES.items():
        _answer(place, _agree(made, name, overrides, base))
    spread(place.journal, read_signing_key(place.signing_key), days=DAYS)
    return place


def _set_policy(place: SiteFolder, join: Path) -> None:
    trusted = (read_join(join).signing_key,)
    policy = Policy(coordinators=trusted, patient_id="patient", hours=("Mo-Su 00:00-24:00",), max_study_bytes=2**20)
    write_bytes(place.policy, policy_text(policy).encode(), mode=0o600)


def _agree(made: _Made, name: str, overrides: Sequence[str], base: Path) -> Bundle:
    changed = [
        f"name='{name}'",
        _DESCRIPTION,
        f"federation.rounds={ROUNDS}",
        *_ROSTER,
        *overrides,
    ]
    source = made.folder / f"bundle-{name}"
    bundle = prepare(load("quick-clinical", overrides=changed), base, source)
    endorsement.endorse(source, bundle, made.key)
    approve(made.place, source, read_signed(source), read_policy(made.place.policy))
    return bundle


def _answer(place: SiteFolder, bundle: Bundle) -> None:
    """Answer all rounds but the last, the second once more, and refuse one while the site is paused."""
    hospital = Hospital(place)
    shared: AdapterState = {name: bundle.initial[name] for name in bundle.schema.shared.names}
    for number in range(1, ROUNDS):
        if number == REFUSED:
            place.paused.touch()
            _ask(hospital, bundle, number, shared)
            place.paused.unlink()
        after = _ask(hospital, bundle, number, shared)
        if number == REPEATED:
            _ask(hospital, bundle, number, shared)
        shared = after


def _ask(hospital: Hospital, bundle: Bundle, number: int, shared: AdapterState) -> AdapterState:
    """Ask for one round, and return the adapter of the next, which is of this site alone."""
    request = Request(
        kind="train",
        run=bundle.study.name,
        round=number,
        seed=bundle.study.seed,
        study=bundle.study.digest,
        schema=bundle.schema.digest,
        plan=RoundPlan(),
        splits=("validation",),
        shared=shared,
    )
    content = hospital.respond("train", wire.encode_request(request, wire.pack_adapter(shared, bundle.schema)))
    asked = asked_schema(bundle.schema, request.kind, request.plan)
    measure = ClassMeasure(len(bundle.study.task.labels))
    answer = wire.decode_answer(without_signature(content), asked, measure=measure)
    if isinstance(answer, Refusal):
        return shared
    return {name: np.add(array, answer.update[name]) for name, array in shared.items()}


def spread(path: Path, key: Ed25519PrivateKey, *, days: int) -> None:
    """Write a journal anew as if its entries had come evenly over the last `days` days."""
    entries: list[dict[str, Any]] = [receipt.entry for receipt in read_log(path).receipts]
    step = timedelta(days=days) / max(1, len(entries))
    first = datetime.now(UTC) - timedelta(days=days)
    times = [(first + step * (n + 1)).isoformat(timespec="milliseconds") for n in range(len(entries))]
    head = json.loads(path.read_bytes().split(b"\n", 1)[0])
    lines = [signed_line(link({"log": FORMAT, "key": head["key"]}, time=times[0], seq=0, previous=""), key)]
    for number, (time, entry) in enumerate(zip(times, entries, strict=True), start=1):
        lines.append(signed_line(link(entry, time=time, seq=number, previous=digest_bytes(lines[-1])), key))
    write_bytes(path, b"".join(line + b"\n" for line in lines), mode=0o600)
