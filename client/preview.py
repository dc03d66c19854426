"""One round of a study at a site with nothing sent: the very bytes that would leave, to be looked at.

The real trainer answers, through the real gate, under the site's own policy; only what it would remember is kept in a
folder that is gone afterwards, so that the site's own state stays as it is.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any  # JSON

import numpy as np

from client.approval import read_signed
from client.budget import FILE as SPENT
from client.budget import Budget
from client.gate import Gate
from client.journal import Journal
from client.ledger import Ledger
from client.policy import objections, read_policy
from client.sealing import KEY_BYTES, Seal
from client.settings import read_settings
from client.shielding import patient_mechanism
from client.site import check_member, find_base_model, open_trainer
from client.site_folder import SiteFolder
from client.store import SiteStore
from common import answers, wire
from common.bundle import Bundle
from common.compressing import compression_of, restored
from common.errors import UserError
from common.files import digest_bytes, write_bytes, write_json
from common.foreseen import first_plan, foreseen_in
from common.keys import read_signing_key
from common.protocol import Answer, Reply, Request, asked_schema
from common.rank_slices import sliced
from common.signed_reply import sign_reply
from common.state import AdapterSchema, AdapterState, Array
from common.study import Study
from common.study_task import task_of
from common.visible import visible

FRAME, SUMMARY, TEXT = "reply.frame", "summary.json", "summary.txt"
RUN = "preview"


@dataclass(frozen=True)
class Preview:
    """What would leave in round 1: the answer, its bytes on the wire, and what the gate wrote down.

    asked: the tensors that were asked for.
    """

    bundle: Bundle
    asked: AdapterSchema
    answer: Answer
    frame: bytes
    journal: Mapping[str, Any]
    objections: tuple[str, ...]


def preview(folder: SiteFolder, source: Path, out: Path) -> Preview:
    """Play round 1 of the bundle in `source`, and write the new folder `out`: reply.frame, summary.json, summary.txt.

    Raises:
        UserError: `out` is there; the bundle is not signed; the study cannot be opened at this site.
    """
    if out.exists():
        raise UserError(f"--out {out} is there; a preview is written to a new folder")
    made = play(folder, source)
    out.mkdir(mode=0o700, parents=True)
    write_bytes(out / FRAME, made.frame, mode=0o600)
    write_json(out / SUMMARY, summary_of(made))
    write_bytes(out / TEXT, ("\n".join(text_of(made)) + "\n").encode(), mode=0o600)
    return made


def play(folder: SiteFolder, source: Path) -> Preview:
    """Answer the request of round 1 in a folder of our own."""
    signed, settings, policy = read_signed(source), read_settings(folder), read_policy(folder.policy)
    bundle, request = signed.bundle, first_request(signed.bundle, settings.site)
    compression = compression_of(bundle.study.compression)
    with TemporaryDirectory(prefix="fedpeft-preview-") as place:
        state, log = Path(place) / "state", Journal(Path(place) / "journal.jsonl", durable=False)
        seal = Seal(os.urandom(KEY_BYTES))  # lost with this function: what is left after a crash cannot be read
        store = SiteStore(state, measure=task_of(bundle.study.task).measure, durable=False, seal=seal)
        budget, is_private = Budget(state / SPENT, durable=False), patient_mechanism(bundle.study) is not None
        gate = Gate(settings.site, policy, bundle.schema, log, budget, compression, is_private)
        ledger = Ledger(Path(place) / "privacy", seal, os.urandom(KEY_BYTES), durable=False)
        check_member(settings.site, bundle.study)
        base = find_base_model(settings, bundle.study)
        trainer = open_trainer(settings, bundle, base, store=store, gate=gate, ledger=ledger)
        answer = trainer.answer(request)
        entry = json.loads(log.path.read_text(encoding="utf-8").splitlines()[-1])
    asked = asked_schema(bundle.schema, request.kind, request.plan)
    key = read_signing_key(folder.signing_key)
    frame = wire.to_frame(sign_reply(wire.encode_answer(answer, compression.wire_schema(asked)), request, key))
    found = objections(policy, bundle, site=settings.site, coordinator=signed.coordinator)
    return Preview(bundle, asked, answer, frame, entry, tuple(found))


def first_request(bundle: Bundle, site: str) -> Request:
    """Return what a server asks of `site` in round 1."""
    study = bundle.study
    declared = foreseen_in(study, 1, site)
    plan = first_plan(declared, bundle.schema.shared)
    return Request(
        kind="train",
        run=RUN,
        round=1,
        seed=bundle.study.seed,
        study=bundle.study.digest,
        schema=bundle.schema.digest,
        plan=plan,
        splits=("validation",),
        shared=sliced({name: bundle.initial[name] for name in bundle.schema.shared.names}, plan.rank),
    )


def summary_of(made: Preview) -> dict[str, Any]:
    """Return what the bytes hold, for a machine; tensors by shape and size of their values."""
    reply = made.answer if isinstance(made.answer, Reply) else None
    update = _update_of(made)
    return {
        "study": made.bundle.study.name,
        "bundle": made.bundle.digest,
        "answer": answers.to_json(made.answer),
        "refused_because": made.journal["reason"],
        "tensors": {name: _figures(array) for name, array in update.items()},
        "compression": made.bundle.study.compression.model_dump(),
        "payload": {name: _shaped(array) for name, array in reply.update.items()} if reply else {},
        "frame": {"file": FRAME, "bytes": len(made.frame), "digest": digest_bytes(made.frame)},
        "objections": list(made.objections),
    }


def _update_of(made: Preview) -> AdapterState:
    """Return the update as the server would have it, no longer compressed."""
    if not isinstance(made.answer, Reply):
        return {}
    return restored(made.answer.update, made.asked, compression_of(made.bundle.study.compression))


def _shaped(array: Array) -> dict[str, Any]:
    return {"shape": list(array.shape), "dtype": array.dtype.name, "bytes": array.nbytes}


def _figures(array: Array) -> dict[str, Any]:
    values = np.asarray(array, dtype=np.float64)
    largest = float(np.abs(values).max(initial=0.0))
    return {**_shaped(array), "norm": float(np.linalg.norm(values.reshape(-1))), "largest": largest}


def text_of(made: Preview) -> Iterator[str]:
    """Yield the same for a person."""
    return map(visible, _lines_of(made))


def _lines_of(made: Preview) -> Iterator[str]:
    yield f"Round 1 of study {made.bundle.study.name}, played here; nothing was sent."
    yield from (f"Objection: {text}" for text in made.objections)
    if not isinstance(made.answer, Reply):
        yield f"The site would refuse, {made.answer.reason}: {made.journal['reason']}."
        return
    yield f"{len(made.frame)} bytes would leave each round, {FRAME} has them: one safetensors file, with"
    for name, array in _update_of(made).items():
        yield f"  {name} {list(array.shape)} {array.dtype.name}, norm {_figures(array)['norm']:.4g}"
    yield from _compressed_lines(made.answer, made.bundle.study)
    yield f"and {made.answer.examples} as the number of training rows; {_listed(made.answer.train)}"
    for split, evaluation in made.answer.evaluations.items():
        yield f"and of {evaluation.scores.n} {split} rows of {evaluation.scores.patients} patients:"
        for name, metric in evaluation.scores.metrics.items():
            yield f"  {name} {metric.value if metric.value is not None else f'withheld or undefined: {metric.reason}'}"
        yield f"  summary for metrics over sites: {'no' if evaluation.summary is None else 'yes'}"
    yield "After the last round, metrics of the test rows would leave in the same form."


def _compressed_lines(reply: Reply, study: Study) -> Iterator[str]:
    compression = compression_of(study.compression)
    yield f"compressed by {compression.in_words};" if study.compression.method != "none" else "not compressed;"
    if study.compression.method != "none":
        sizes = [f"{name} {list(a.shape)} {a.dtype.name}, {a.nbytes} bytes" for name, a in reply.update.items()]
        yield from (f"  {size}" for size in sizes)


def _listed(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
