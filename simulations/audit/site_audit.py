"""The audit at a real site, of its own rows: is an adapter's training on them to be seen?

Membership by loss, which needs nothing but rows, base model and adapter. Its page and JSON hold figures of the site as
a whole, and never a row; they stay in the site's folder until the site hands them on.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from client.approval import find
from client.execution import resolve
from client.row_losses import row_losses
from client.rows import read_rows
from client.settings import SiteSettings, read_settings
from client.site import check_member, find_base_model
from client.site_folder import SiteFolder
from client.site_rows import prepare_rows
from common.adapter_folder import Exported, read_adapter
from common.bundle import Bundle
from common.errors import UserError
from common.metrics.types import Floats
from common.ownership import check_owner
from common.seeds import generator
from common.study import Study
from common.study_audit import AuditSection
from common.workbench import Workbench, open_workbench
from simulations.audit.auditing import BY_LOSS, Options, subject_of, written
from simulations.audit.findings import Audit, Sanity, TokenFindings
from simulations.audit.membership import Resampling, Separation, checks_of, separation_of

FOLDER: Final = "audit"
WITHOUT: Final = (
    "canaries: a site plants none among its patients",
    "tokens: what left is judged in a simulation, where the server's side is at hand",
)


def audit_site(path: Path, adapter: Path, options: Options) -> Audit:
    """Audit an adapter on the site's own rows; both files go to DIR/audit.

    Raises:
        UserError: the folder is no site or another user's, the adapter is of a study that is not approved here.
    """
    begin, folder = time.perf_counter(), SiteFolder(path)
    settings, exported = read_settings(folder), read_adapter(adapter)
    check_owner(path)
    bundle = _approved(folder, exported)
    check_member(settings.site, bundle.study)
    options.tell("membership: losses of the site's rows, before and after")
    found = _found(settings, bundle, exported, options)
    return written(replace(found, seconds=time.perf_counter() - begin), path / FOLDER, mode=0o600)


def _approved(folder: SiteFolder, exported: Exported) -> Bundle:
    """Return the adapter's study as the site approved it: it has the adapter that training began with."""
    approved = find(folder, lambda each: each.study == exported.study.digest)
    if approved is None:
        raise UserError(
            f"the adapter is of study {exported.study.name!r}, {exported.study.digest}, which is not approved here; "
            "an audit needs the approved bundle, which has what training began with"
        )
    if exported.schema.private.names:
        raise UserError(
            "this study keeps tensors at each site (peft.private), without which the adapter says nothing; audit the "
            "study in a simulation"
        )
    return approved.read().bundle


def _found(settings: SiteSettings, bundle: Bundle, exported: Exported, options: Options) -> Audit:
    study = bundle.study
    execution = resolve(precision=study.training.precision, device=settings.members[0], threads=settings.threads)
    bench = open_workbench(study, find_base_model(settings, study), attention=execution.attention)
    bench.to(execution.device)
    rows = prepare_rows(read_rows(settings.rows, study), study, bench)
    parts = (rows.train, rows.validation, rows.test)
    examples = [example for part in parts for example in part.examples]

    def losses(bench: Workbench) -> Floats:
        return row_losses(bench, examples, execution=execution)

    bench.write(bundle.initial)
    before = losses(bench)
    bench.write(exported.shared)
    scores = before - losses(bench)
    patients = [patient for part in parts for patient in part.patients]
    which = np.repeat(np.arange(3), [len(part) for part in parts])
    return _judged(settings.site, study, options, scores, which, patients)


def _judged(
    site: str, study: Study, options: Options, scores: Floats, which: NDArray[np.int64], patients: list[str]
) -> Audit:
    """Compare training (0) with test rows (2), and, which must be chance, validation (1) with test rows."""
    thresholds = AuditSection() if study.simulation is None else study.simulation.audit
    rng = generator(study.seed, site=site, purpose="audit")

    def against_test(part: int) -> Separation:
        chosen = np.isin(which, (part, 2))
        those = [patient for patient, keep in zip(patients, chosen, strict=True) if keep]
        return separation_of(scores[chosen], which[chosen] == part, those, Resampling(options.resamples, rng))

    return Audit(
        subject=subject_of(study, kind="site", sites=(site,)),
        checks=tuple(checks_of(against_test(0), thresholds, scope=site, attack=BY_LOSS, leading=True)),
        sanity=(Sanity("Validation rows as if they were members, under the final adapter", against_test(1).auc),),
        canaries=None,
        tokens=TokenFindings(()),
        shadows=0,
        resamples=options.resamples,
        without=WITHOUT,
        seconds=0.0,
    )
