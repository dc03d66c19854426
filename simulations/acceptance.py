"""Which virtual sites of a run would use its adapter in place of an earlier version: see `client.acceptance`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from client.acceptance import Verdict, judge_site
from client.data import Rows
from client.held_out import check_comparable, held_out, open_bench, scores_of
from client.store import SiteStore
from common.adapter_folder import Exported, read_adapter
from common.adapter_reference import adapter_folder, base_folder
from common.bundle import read_bundle
from common.errors import DataError, UserError
from common.metrics.types import Floats
from common.state import AdapterState
from common.study import Study
from common.workbench import Workbench
from simulations.folder import RunFolder
from simulations.results import read_results
from simulations.virtual import VirtualSites, open_sites, read_sites


@dataclass(frozen=True)
class _Scorer:
    """One adapter, the model that it is written into, and each site's rows as its study reads them."""

    study: Study
    shared: AdapterState
    bench: Workbench
    rows: Mapping[str, Rows]


def gate(run: Path, against: Path, *, max_loss: float) -> dict[str, Verdict]:
    """Return, by site, whether the adapter of the run would be used in place of the one that `against` means.

    Private tensors of a site, where the studies keep such, are those that this run left, for both.

    Raises:
        UserError: the run is not finished or none; the other adapter is of another task, or of other private tensors.
    """
    folder = RunFolder(run)
    if not run.is_dir():
        raise UserError(f"{run}: no folder is there; name the folder of one `fedpeft simulate`")
    if not folder.is_used():
        raise UserError(f"{run} is no run of one seed; name the folder of one `fedpeft simulate`, such as its seed-0")
    read_results(run)  # is it finished?
    new, old = read_adapter(adapter_folder(run)), read_adapter(adapter_folder(against))
    check_comparable(new.study, old.study)
    _check_private(new, old)
    facts = folder.facts()
    sites = open_sites(folder, read_bundle(folder.bundle), facts.execution)
    candidate = _Scorer(sites.bundle.study, new.shared, sites.bench, sites.raw)
    current = _scorer_of(old, sites, adapter_folder(against))
    private = {site: _private(sites, site, facts.run) for site in sites.raw}
    return {site: _judged(site, sites, candidate, current, private[site], max_loss=max_loss) for site in sites.raw}


def _check_private(new: Exported, old: Exported) -> None:
    if new.schema.private != old.schema.private:
        raise UserError(
            f"the run keeps {len(new.schema.private.tensors)} tensors at each site, the other version "
            f"{len(old.schema.private.tensors)}: expected the same ones, since a registry holds no site's tensors"
        )


def _scorer_of(old: Exported, sites: VirtualSites, adapter: Path) -> _Scorer:
    """Return the other adapter on the run's own model and rows, where they are the same; else on its own."""
    study = sites.bundle.study
    is_same_model = (old.study.base_model.digest, old.study.peft, old.study.task) == (
        study.base_model.digest,
        study.peft,
        study.task,
    )
    base = base_folder(adapter, None) if not is_same_model else None
    bench = sites.bench if base is None else open_bench(old.study, base, sites.execution)
    rows = sites.raw if old.study.data == study.data else read_sites(_in_place(old.study, study), sites.folder.scratch)
    return _Scorer(old.study, old.shared, bench, rows)


def _in_place(old: Study, study: Study) -> Study:
    """Return the old study over the rows, and the sites, of the new one."""
    return old.model_copy(update={"simulation": study.simulation, "federation": study.federation, "seed": study.seed})


def _private(sites: VirtualSites, site: str, run: str) -> AdapterState:
    """Return what the run left at a site; a site that never trained has what it began with."""
    names = sites.bundle.schema.private.names
    if not names:
        return {}
    store = SiteStore(sites.folder.sites / site, measure=sites.bench.task.measure, durable=False)
    initial = {name: sites.bundle.initial[name] for name in names}
    return store.last_private(run) if run in store.trained_runs() else initial


def _judged(
    site: str,
    sites: VirtualSites,
    candidate: _Scorer,
    current: _Scorer,
    private: AdapterState,
    *,
    max_loss: float,
) -> Verdict:
    if list(candidate.rows[site].patients) != list(current.rows[site].patients):
        raise DataError(f"site {site!r} has other rows under the study of the other version; expected the same ones")
    chosen = held_out(candidate.rows[site], candidate.study, current.study)

    def scores(scorer: _Scorer) -> Floats:
        state = {**scorer.shared, **private}
        return scores_of(scorer.bench, state, scorer.rows[site].take(chosen), sites.execution)

    taken = candidate.rows[site].take(chosen)
    ours, theirs = scores(candidate), scores(current)
    return judge_site(candidate.study, site, taken, ours, theirs, max_loss=max_loss)
