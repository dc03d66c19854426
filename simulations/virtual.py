"""Virtual hospitals: one trainer per site over one resident base model, as a run folder describes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path

from client.app import SiteEndpoint
from client.data import Rows
from client.execution import Execution
from client.gate import Gate
from client.ledger import Ledger
from client.policy import Policy
from client.row_gradients import Start
from client.shield import Shield
from client.shielding import engine_for, patient_mechanism
from client.site_rows import SiteRows, encoded, split_of, split_rows
from client.site_work import HERE_AND_NOW, SiteWork
from client.trainer import Trainer
from common.bundle import Bundle, read_bundle
from common.compressing import compression_of
from common.compression import Compression
from common.errors import DataError, StudyError
from common.labels import strata
from common.privacy.patient_dp import PatientDP
from common.study import Study
from common.study_task import task_of
from common.workbench import Workbench, open_workbench
from server.enough import quorum_of
from simulations.attacks import Attack
from simulations.audit.canaries import Canaries, canaries_of, planted
from simulations.bad_sites import BadSite, attacks_of, poisoned
from simulations.catalogue import base_folder, simulation_of
from simulations.continuing.earlier import read_inherited
from simulations.crowd.disks import CrowdDisks, Disks, OwnFolders
from simulations.engine.compute_dtype import hold_in_compute_dtype
from simulations.engine.engine import Engine
from simulations.engine.opening import UNDECIDED, Decision, decided, open_engine
from simulations.engine.plan import AS_SUITS, Wanted
from simulations.folder import RunFacts, RunFolder
from simulations.late_libraries import import_libraries
from simulations.new_rows import joined, read_new_rows
from simulations.sites import divide

SIMULATED_POLICY = Policy(
    max_update_bytes=2**40,
    max_study_bytes=2**50,
    minimum_patients=0,
    minimum_class_patients=0,
    release_histograms=True,
    release_cohort=True,
    small_cell=0,
    exact_metrics=True,
    count_step=1,
)
"""All virtual sites are one user's own; score histograms are free there."""


def read_sites(study: Study, scratch: Path) -> dict[str, Rows]:
    """Return each virtual site's rows by name; `federation.sites` choose and name them."""
    rows = read_new_rows(study, scratch)
    groups = strata(task_of(study.task), rows.labels)
    return divide(rows, simulation_of(study), seed=study.seed, roster=study.federation.sites, strata=groups)


@dataclass(frozen=True)
class VirtualSites:
    """The sites of a run in this process: rows as read, rows as split and tokenised, and the shared workbench.

    Both have what the study plants: labels of an attack, and canaries. engine: trains several sites together, as was
    decided; None: each is trained when it is asked. is_crowd: whether they share one disk.
    """

    bundle: Bundle
    raw: Mapping[str, Rows]
    rows: Mapping[str, SiteRows]
    bench: Workbench
    execution: Execution
    folder: RunFolder
    attacks: Mapping[str, Attack] = field(default_factory=dict)
    canaries: Canaries | None = None
    start: Start | None = None
    decision: Decision = UNDECIDED
    engine: Engine | None = None
    is_crowd: bool = False

    def endpoint(self, site: str) -> SiteEndpoint:
        """Return what answers for one site."""
        return self.answering(self.trainer(site))

    def answering(self, trainer: Trainer) -> SiteEndpoint:
        """Return what answers for a trainer: itself, but at a bad site, where it is not believed."""
        return BadSite(trainer, self.attacks[trainer.name]) if trainer.name in self.attacks else trainer

    def trainer(self, site: str, site_work: SiteWork = HERE_AND_NOW) -> Trainer:
        """Return the trainer of one site."""
        shield = self._shield(site)
        return Trainer(
            name=site,
            bundle=self.bundle,
            rows=self.rows[site],
            bench=self.bench,
            execution=self.execution,
            store=self.disks.store(site),
            gate=Gate(
                site,
                SIMULATED_POLICY,
                self.bundle.schema,
                self.disks.journal(site),
                compression=self._compression,
                is_private=self._mechanism is not None,
            ),
            step_log=self.disks.step_log(site),
            shield=shield,
            inherited=read_inherited(self.folder, site) if self._inherits else {},
            site_work=site_work if shield is None else HERE_AND_NOW,
        )

    @cached_property
    def disks(self) -> Disks:
        """Where the sites write."""
        kind = CrowdDisks if self.is_crowd else OwnFolders
        return kind(self.folder, self.bench.task.measure)

    @cached_property
    def _inherits(self) -> bool:
        """Whether any site may bring something of an earlier phase."""
        return self.folder.earlier.exists()

    @cached_property
    def _compression(self) -> Compression:
        """One for all sites: they are asked thousands of times."""
        return compression_of(self.bundle.study.compression)

    @cached_property
    def _mechanism(self) -> PatientDP | None:
        return patient_mechanism(self.bundle.study)

    def _shield(self, site: str) -> Shield | None:
        """Return what protects a site's patients; its ledger counts, and ends nothing."""
        mechanism = self._mechanism
        if mechanism is None or self.start is None:
            return None
        patients = self.rows[site].train.patients
        return Shield(mechanism, self.bundle.study, patients, self.start, self.ledger(site), is_limited=False)

    def ledger(self, site: str) -> Ledger:
        """Return the ledger of one site: in the clear, since all sites are one user's own."""
        return Ledger(self.folder.sites / site / "privacy", seal=None, pseudonym_key=b"", durable=False)


@dataclass(frozen=True)
class Begun:
    """What preparing a run has read already: sites' rows, and the base model with its adapter. All are alike as keys.

    Every request writes the adapter that it is about, so it does not matter which one is in the workbench.
    """

    rows: Mapping[str, Rows] | None = field(default=None, compare=False)
    bench: Workbench | None = field(default=None, compare=False)


NOTHING_BEGUN = Begun()


def open_sites(
    folder: RunFolder,
    bundle: Bundle,
    execution: Execution,
    begun: Begun = NOTHING_BEGUN,
    *,
    groups: Wanted = AS_SUITS,
    is_crowd: bool = False,
) -> VirtualSites:
    """Read and tokenise all rows, and load the base model, each once."""
    study = bundle.study
    true = read_sites(study, folder.scratch) if begun.rows is None else begun.rows
    attacks = attacks_of(study, true)
    canaries = canaries_of(study, true)
    raw = planted(poisoned(true, study, attacks), canaries)
    bench = (_bench(folder, study, execution) if begun.bench is None else begun.bench).to(execution.device)
    hold_in_compute_dtype(bench, execution)
    rows = _prepared(raw, study, bench)
    examples = [example for part in rows.values() for example in part.train.examples]
    start = engine_for(study, bench, examples, execution)
    decision = decided(folder.engine, study, bench, execution, rows, groups)
    engine = open_engine(bench, execution, decision)
    return VirtualSites(
        bundle, raw, rows, bench, execution, folder, attacks, canaries, start, decision, engine, is_crowd
    )


def _bench(folder: RunFolder, study: Study, execution: Execution) -> Workbench:
    import_libraries()
    return open_workbench(study, base_folder(study, folder.scratch), attention=execution.attention)


def _prepared(raw: Mapping[str, Rows], study: Study, bench: Workbench) -> dict[str, SiteRows]:
    """Tokenise the rows of all sites in one call: ten thousand sites of a few rows each would be as many calls."""
    examples = iter(encoded(joined(list(raw.values())), bench))
    return {site: split_rows(part, list(islice(examples, len(part))), study) for site, part in raw.items()}


def check_sites(sites: Mapping[str, Rows], study: Study) -> None:
    """Refuse a site without training rows, since it could never answer, and a study that these sites cannot play."""
    unknown = sorted(set(study.federation.ranks) - set(sites))
    if unknown:
        raise StudyError(
            f"federation.ranks names {unknown[0]!r}, which is none of the sites: {', '.join(sorted(sites))}"
        )
    quorum_of(study, sites)
    for site, rows in sites.items():
        if not len(split_of(rows, study).train):
            raise DataError(
                f"site {site!r} has no training rows ({len(rows)} rows in all); leave it out of federation.sites, "
                "or lower evaluation.validation_fraction and test_fraction"
            )


def with_sites(study: Study, sites: Mapping[str, Rows]) -> Study:
    """Return `study` with its roster locked to these sites."""
    federation = study.federation.model_copy(update={"sites": tuple(sorted(sites))})
    return study.model_copy(update={"federation": federation})


def resident_sites(folder: str, begun: Begun = NOTHING_BEGUN) -> VirtualSites:
    """Return the sites of a run's folder; those of the last run stay in memory: base model, rows and tokens.

    begun: what the caller, who prepared the run, has of it.
    """
    run = RunFolder(Path(folder).resolve())
    return _opened(run, run.facts(), begun)


@lru_cache(maxsize=1)
def _opened(folder: RunFolder, facts: RunFacts, begun: Begun) -> VirtualSites:
    """By the run's name too, which is in the facts: its folder may have held another run before."""
    return open_sites(
        folder, read_bundle(folder.bundle), facts.execution, begun, groups=facts.groups, is_crowd=facts.crowd
    )
