"""The audit of a simulated run: every attack on its final adapter and its uploads, each figure beside its threshold."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from common.errors import UserError
from common.files import write_bytes
from common.metrics.bootstrap import with_interval
from common.metrics.types import Floats
from common.protecting import mechanism_of
from common.seeds import generator
from common.study import Study
from common.study_audit import AuditSection
from simulations.audit.canaries import Canaries
from simulations.audit.exposure import by_chance, exposures
from simulations.audit.findings import JSON, PAGE, Audit, CanaryFindings, Sanity, Subject, TokenFindings
from simulations.audit.lira import confidence, membership_scores
from simulations.audit.looking_for_tokens import find_tokens
from simulations.audit.membership import EVERYONE, Resampling, checks_of, separation_of
from simulations.audit.opened import OpenedRun, Pool, open_run, training_and_test, validation_and_test
from simulations.audit.rates import separation
from simulations.audit.shadows import halves, shadow_confidences, unseen_scores
from simulations.audit.verdict import Check
from simulations.catalogue import simulation_of

RESAMPLES: Final = 1000
CHANCE_DRAWS: Final = 4000
BY_LOSS, BY_SHADOWS = "Membership by loss", "Membership by shadows"
NO_CANARIES = "canaries: the study plants none; add [simulation.canaries] to it, and run it again"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """shadows: how many further adapters to train. tell: is told what is being done."""

    shadows: int = 0
    resamples: int = RESAMPLES
    tell: Tell = lambda _: None


def audit(path: Path, options: Options) -> Audit:
    """Audit the finished run in a folder, and write audit.json and audit.html there. Raises UserError."""
    check_shadows(options.shadows)
    begin = time.perf_counter()
    found = _found(open_run(path), options)
    return written(replace(found, seconds=time.perf_counter() - begin), path)


def check_shadows(shadows: int) -> None:
    """Raise UserError unless each row can be in half of so many shadows."""
    if shadows < 0 or shadows % 2:
        raise UserError(f"--shadows {shadows}: expected an even number, since each row is in half of them")


def written(found: Audit, folder: Path, *, mode: int = 0o644) -> Audit:
    """Write both files to `folder`, of this mode, and return the audit."""
    from simulations.audit.page import render

    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / JSON, json.dumps(found.to_json(), indent=2, allow_nan=False).encode(), mode=mode)
    write_bytes(folder / PAGE, render(found).encode("utf-8", errors="replace"), mode=mode)
    return found


def _found(run: OpenedRun, options: Options) -> Audit:
    study, thresholds = run.study, simulation_of(run.study).audit
    options.tell("membership: losses of all rows, before and after")
    pool = training_and_test(run)
    before, after = pool.losses(run, run.initial), pool.losses(run, run.final)
    checks = [*_membership(run, options, pool, before - after, BY_LOSS, thresholds)]
    if options.shadows:
        options.tell(f"membership: training {options.shadows} shadow adapters")
        checks += _membership(run, options, pool, _shadow_scores(run, options, pool, after), BY_SHADOWS, thresholds)
    options.tell("sanity: adapters that never saw the rows")
    sanity = tuple(_sanity(run, options, pool, before))
    canaries, more = _canaries(run, options, thresholds)
    options.tell("tokens: one gradient, and the uploads that left")
    tokens = find_tokens(run, _resampling(run, options, "tokens"))
    checks += [*more, *token_checks(tokens, thresholds)]
    without = [*([] if canaries else [NO_CANARIES]), *([f"tokens: {tokens.missing}"] if tokens.missing else [])]
    return Audit(
        subject=subject_of(study, kind="simulation", sites=tuple(sorted(run.sites.rows))),
        checks=tuple(checks),
        sanity=sanity,
        canaries=canaries,
        tokens=tokens,
        shadows=options.shadows,
        resamples=options.resamples,
        without=tuple(without),
        seconds=0.0,
    )


def subject_of(study: Study, *, kind: str, sites: tuple[str, ...]) -> Subject:
    """Return what is audited."""
    mechanism = mechanism_of(study)
    return Subject(
        kind=kind,
        study=study.name,
        description=study.description,
        digest=study.digest,
        method=study.peft.method,
        privacy=mechanism.in_words,
        guarantee=mechanism.guarantee(study),
        rounds=study.federation.rounds,
        sites=sites,
    )


def _resampling(run: OpenedRun, options: Options, purpose: str, *, parts: int = 1) -> Resampling:
    return Resampling(options.resamples, generator(run.study.seed, purpose=f"audit {purpose}"), parts)


def _membership(
    run: OpenedRun, options: Options, pool: Pool, scores: Floats, attack: str, thresholds: AuditSection
) -> Iterator[Check]:
    """Yield the checks of all sites together, and of each, whose intervals hold together."""
    whole = separation_of(scores, pool.members, pool.patients.tolist(), _resampling(run, options, attack))
    yield from checks_of(whole, thresholds, scope=EVERYONE, attack=attack, leading=True)
    sites = np.unique(pool.sites)
    each = _resampling(run, options, f"{attack} by site", parts=len(sites))
    for site in sites if len(sites) > 1 else ():
        rows = pool.sites == site
        found = separation_of(scores[rows], pool.members[rows], pool.patients[rows].tolist(), each)
        yield from checks_of(found, thresholds, scope=str(site), attack=attack, leading=False)


def _shadow_scores(run: OpenedRun, options: Options, pool: Pool, after: Floats) -> Floats:
    rng = generator(run.study.seed, purpose="audit shadows")
    inside = halves(pool.patients, options.shadows, rng)
    said = np.stack(list(shadow_confidences(run, pool, inside)))
    return membership_scores(confidence(after), said, inside)


def _sanity(run: OpenedRun, options: Options, pool: Pool, before: Floats) -> Iterator[Sanity]:
    """Yield what must be chance: rows that nobody trained on, and models that trained on other sites' rows."""
    held = validation_and_test(run)
    scores = held.losses(run, run.initial) - held.losses(run, run.final)
    resampling = _resampling(run, options, "sanity")
    found = separation_of(scores, held.members, held.patients.tolist(), resampling)
    yield Sanity("Validation rows as if they were members, under the final adapter", found.auc)
    unseen = unseen_scores(run, pool, before)
    if unseen is not None:
        found = separation_of(unseen, pool.members, pool.patients.tolist(), resampling)
        yield Sanity("All rows, under adapters that were trained on other sites' rows only", found.auc)


def _canaries(run: OpenedRun, options: Options, thresholds: AuditSection) -> tuple[CanaryFindings | None, list[Check]]:
    canaries = run.sites.canaries
    if canaries is None:
        return None, []
    options.tell("canaries: losses of canaries and references")
    planted, references = _canary_losses(run, canaries)
    found, section = exposures(planted, references), canaries.section
    rng = generator(run.study.seed, purpose="audit chance")
    null = by_chance(len(planted), len(references), draws=CHANCE_DRAWS, rng=rng)
    findings = CanaryFindings(
        site=section.site,
        count=section.count,
        repeats=section.repeats,
        references=section.references,
        exposures=tuple(float(value) for value in sorted(found)),
        most=float(np.log2(len(references) + 1)),
        chance=float(null.mean()),
    )
    return findings, list(_canary_checks(run, options, thresholds, findings, planted, references, null))


def _canary_losses(run: OpenedRun, canaries: Canaries) -> tuple[Floats, Floats]:
    bench, state = run.sites.bench, run.final(canaries.section.site)
    planted, references = (
        run.losses(state, bench.task.encode(bench.reader, rows.inputs, rows.labels, max_length=bench.max_length))
        for rows in (canaries.planted, canaries.references)
    )
    return planted, references


def _canary_checks(
    run: OpenedRun,
    options: Options,
    thresholds: AuditSection,
    findings: CanaryFindings,
    planted: Floats,
    references: Floats,
    null: Floats,
) -> Iterator[Check]:
    found, resampling = exposures(planted, references), _resampling(run, options, "canaries")
    mean = with_interval(
        {"exposure": lambda weights: (weights * found).sum(axis=-1) / weights.sum(axis=-1)},
        [str(number) for number in range(len(found))],
        resamples=resampling.resamples,
        rng=resampling.rng,
    )["exposure"]
    probability = float((1 + (null >= found.mean()).sum()) / (1 + len(null)))
    yield Check(
        "canary_exposure",
        "Canaries: mean exposure in bits",
        findings.site,
        mean,
        findings.chance,
        thresholds.canary_exposure,
        findings.count,
        probability,
    )
    scores = -np.concatenate([planted, references])
    is_planted = np.arange(len(scores)) < len(planted)
    units = [str(number) for number in range(len(scores))]
    auc = with_interval(
        {"auc": separation(scores, is_planted)}, units, resamples=resampling.resamples, rng=resampling.rng
    )["auc"]
    yield Check(
        "canary_auc", "Canaries: AUC against references", findings.site, auc, 0.5, thresholds.canary_auc, findings.count
    )


def token_checks(tokens: TokenFindings, thresholds: AuditSection) -> Iterator[Check]:
    """Yield a check for each upload that left; what one gradient gives away is no check, since none left."""
    for setting in tokens.settings:
        if setting.counts:
            yield Check(
                "token_recall",
                "Tokens found in the upload that left, beyond chance",
                setting.scope,
                setting.found.beyond,
                0.0,
                thresholds.token_recall,
                None,
            )
