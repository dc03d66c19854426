"""What a study would do at this site, in plain words, for the person who approves it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from client.approval import Signed
from client.data import Rows
from client.data.table import with_default_column
from client.explain_evidence import evidence_lines
from client.explain_plans import plan_lines
from client.ledger import Ledger
from client.policy import Policy, leaving_schema, objections, reply_bytes
from client.rows import read_rows
from client.settings import SiteSettings
from client.shielding import patient_mechanism
from client.site import find_base_model
from client.split import split_patients
from common.compressing import compression_of
from common.errors import UserError
from common.keys import fingerprint
from common.labels import counted
from common.protecting import mechanism_of
from common.state import AdapterSchema
from common.study import Study
from common.study_task import task_of
from common.usage import usage_of
from common.visible import visible

T = TypeVar("T")
_SUMMARIES = (
    "yes: score histograms, or sums over rows and products of two such sums over patients; they tell every metric, "
    "those that are not listed above too, and how many patients have two rare things together"
)


@dataclass(frozen=True)
class Explanation:
    """lines: what the study would do here. objections: why it cannot be approved; none means that it may be."""

    lines: tuple[str, ...]
    objections: tuple[str, ...]


def explain(signed: Signed, settings: SiteSettings, policy: Policy, ledger: Ledger) -> Explanation:
    """Look at the study, the policy, and what of its needs is here; only this site's own eyes see the result."""
    study = signed.bundle.study
    found = objections(policy, signed.bundle, site=settings.site, coordinator=signed.coordinator)
    rows, missing_rows = _tried(lambda: read_rows(settings.rows, study))
    base, missing_base = _tried(lambda: find_base_model(settings, study))
    found += [text for text in (missing_rows, missing_base) if text]
    if rows is not None:
        found += _too_few(rows, study, policy)
    lines = [*_study_lines(signed), *_reads_lines(study), *_rows_lines(rows, study)]
    lines += [f"base model    {study.base_model.digest}, {'here' if base else 'NOT here'}"]
    trained, found_of_plans = plan_lines(study, signed.bundle.schema.shared, settings.site)
    found += found_of_plans
    lines += [*trained, *_leaving_lines(signed, policy, settings.site), *_trust_lines(study)]
    spending, found_of_budget = _tried(lambda: _privacy_lines(study, rows, policy, ledger))
    lines += spending or []
    found += [found_of_budget] if found_of_budget else []
    return Explanation(tuple(map(visible, lines)), tuple(map(visible, found)))


def words_of(signed: Signed, policy: Policy, site: str) -> tuple[str, ...]:
    """Return what `explain` says of the study alone, for which neither rows nor base model are looked at."""
    study = signed.bundle.study
    trained, _ = plan_lines(study, signed.bundle.schema.shared, site)
    lines = [*_study_lines(signed), *_reads_lines(study), *trained]
    return tuple(map(visible, [*lines, *_leaving_lines(signed, policy, site), *_trust_lines(study)]))


def _tried(work: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return work(), ""
    except UserError as error:
        return None, str(error)


def _too_few(rows: Rows, study: Study, policy: Policy) -> list[str]:
    train = _parts(rows, study)["train"]
    patients = len(set(train.patients))
    if patients >= max(policy.minimum_patients, 1):
        return []
    return [f"there are {patients} patients to train on, the policy asks for {max(policy.minimum_patients, 1)}"]


def _study_lines(signed: Signed) -> Iterator[str]:
    study = signed.bundle.study
    training = study.training
    length = f"{training.local_steps} steps" if training.local_steps else f"{training.epochs} epochs"
    yield f"study         {study.name}: {study.description or 'without a description'}"
    yield f"digests       study {study.digest}, bundle {signed.bundle.digest}"
    yield f"signed by     {fingerprint(signed.coordinator)}"
    yield f"does          fine-tunes by {study.peft.method}, {length} a round, {_rounds(study)}"
    if study.task.arguments.get("criterion"):
        yield f"              its loss: {json.dumps(study.task.arguments['criterion'])}"
    if training.regulariser is not None:
        kept = training.regulariser
        yield f"              holds training near its start by {kept.kind}, weight {kept.weight:g}"
    yield f"sites         {', '.join(study.federation.sites)}"


def _rounds(study: Study) -> str:
    rounds, patience = study.federation.rounds, study.federation.patience
    early = f" or fewer: they end after {patience} without a better pooled metric" if patience else ""
    return f"{rounds} rounds{early}"


def _reads_lines(study: Study) -> Iterator[str]:
    columns = ", ".join(with_default_column(study.data).columns)
    patient = f"; patients by {study.data.patient_id}" if study.data.patient_id else "; each row is its own patient"
    yield f"reads         columns {columns}; label {study.task.target}{patient}"


def _rows_lines(rows: Rows | None, study: Study) -> Iterator[str]:
    if rows is None:
        yield "here          no rows that this study can use"
        return
    yield f"here          {_counted(rows, study)}"
    for name, part in _parts(rows, study).items():
        yield f"              {name}: {_counted(part, study)}"


def _parts(rows: Rows, study: Study) -> dict[str, Rows]:
    parts = split_patients(
        rows.patients,
        split_seed=study.evaluation.split_seed,
        validation_fraction=study.evaluation.validation_fraction,
        test_fraction=study.evaluation.test_fraction,
    )
    return {name: rows.take(getattr(parts, name)) for name in ("train", "validation", "test")}


def _counted(rows: Rows, study: Study) -> str:
    groups = counted(task_of(study.task), rows.labels)
    return f"{len(rows)} rows of {len(set(rows.patients))} patients{f' ({groups})' if groups else ''}"


def _leaving_lines(signed: Signed, policy: Policy, site: str) -> Iterator[str]:
    study, schema = signed.bundle.study, signed.bundle.schema
    shared, rounds = leaving_schema(signed.bundle, site), study.federation.rounds
    size, count = reply_bytes(signed.bundle, site), len(shared.tensors)
    yield f"leaves        {count} tensors, {size} bytes a round, {rounds * size} bytes in all rounds:"
    yield from _tensor_lines(shared)
    yield f"compressed    {compression_of(study.compression).in_words}"
    if size != shared.size_bytes:
        yield f"              the tensors have {shared.size_bytes} bytes, of which {size} leave"
    yield f"stays         {', '.join(schema.private.names) or 'no tensor of the adapter'}; rows, texts and labels"
    yield from _figure_lines(study, policy)


def _figure_lines(study: Study, policy: Policy) -> Iterator[str]:
    hides_patients = patient_mechanism(study) is not None
    if hides_patients and not policy.exact_metrics:
        yield f"metrics       none, since the study hides patients; counts of rows and patients in {policy.count_step}s"
        return
    yield f"metrics       {', '.join(policy.metrics) or 'none'}; of validation rows each round, of test rows at the end"
    yield (
        f"withheld      of fewer than {policy.minimum_patients} patients, or {policy.minimum_class_patients} of a class"
    )
    if hides_patients:
        yield "              these metrics have no noise: the policy's exact_metrics lets them out beside the guarantee"
    else:
        yield "counts        training rows; rows and patients of each part that is scored"
        yield "figures       loss, norm of gradients and number of steps of the training, seconds"
    yield f"summaries     {_SUMMARIES if policy.release_histograms else 'no'}"
    yield from evidence_lines(study, policy)


def _tensor_lines(schema: AdapterSchema) -> Iterator[str]:
    for tensor in schema.tensors:
        yield f"              {tensor.name} {list(tensor.shape)} {tensor.dtype}, {tensor.size_bytes} bytes"


def _privacy_lines(study: Study, rows: Rows | None, policy: Policy, ledger: Ledger) -> list[str]:
    """Say what the study would spend of the patients here. Raises UserError where the policy does not allow as much."""
    mechanism = patient_mechanism(study)
    if mechanism is None or rows is None:
        return []
    patients = set(_parts(rows, study)["train"].patients)
    if not patients:
        return []
    one, delta = mechanism.round_of(study, len(patients)), policy.privacy_delta
    whole = replace(one, steps=one.steps * study.federation.rounds * policy.runs)
    spent, after = ledger.spent(patients, delta=delta), ledger.would_be(patients, [whole], delta=delta)
    if after > policy.privacy_epsilon:
        raise UserError(
            f"it would bring what was spent of a patient here to epsilon {after:.3g} at delta {delta:g}, and the "
            f"policy allows {policy.privacy_epsilon:g}: ask for a smaller epsilon, or raise privacy_epsilon"
        )
    runs = "it" if policy.runs == 1 else f"the {policy.runs} runs that the policy allows"
    warning = [] if delta < 1 / len(patients) else [f"warning       delta {delta:g} is no less than 1 / patients here"]
    return [
        f"spends        epsilon {spent:.3g} of the {len(patients)} training patients so far, {after:.3g} after {runs}, "
        f"of the {policy.privacy_epsilon:g} that the policy allows, at delta {delta:g}",
        f"noise         {one.noise_multiplier:.3g} times one patient's most, in {one.steps} steps a round, each of "
        f"{one.sampling_probability:.1%} of the patients",
        *warning,
    ]


def _trust_lines(study: Study) -> Iterator[str]:
    yield f"privacy       {mechanism_of(study).in_words}"
    warning = usage_of(study.task.kind).warning.replace("**", "")
    if warning:
        yield f"warning       {warning}"
