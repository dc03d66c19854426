"""What `simulations.run` does: one run, or one per seed, from a study to the folder with everything in it."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # JSON values

from pydantic import ValidationError

from client import private_tensors
from common.adapter_folder import write_adapter
from common.collecting import collecting_later
from common.errors import StudyError
from common.files import write_bytes
from common.study import Study, replaced
from common.study_file import first_error
from common.study_task import task_of
from common.tensor_files import to_safetensors
from server.closing import Outcome
from server.events import Progress
from server.model_card import render_card
from server.report.render import write_report
from server.tracking.beside import tracked
from server.tracking.destination import Destination, destination
from simulations import stages
from simulations.comparison import Budget, Scoring, compare
from simulations.continuing.earlier import Beginning, read_earlier
from simulations.continuing.forgetting import continual_json
from simulations.contributions import check_contributions, contributions
from simulations.decision import decision_curve
from simulations.engine.plan import AS_SUITS, Wanted
from simulations.folder import RunFolder, check_seeds
from simulations.journals import journals
from simulations.over_seeds import combine
from simulations.privacy_spent import spent_by_site
from simulations.recalibrated import recalibrated
from simulations.results import Measured, Results, assemble, read_results, write_results
from simulations.resuming import check_same_study
from simulations.virtual import VirtualSites

Done = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Tracked:
    """Where a run is tracked to, and who is told what fails there."""

    to: Sequence[Destination] = ()
    tell: Callable[[str], None] = lambda _: None

    @staticmethod
    def named(texts: Sequence[str], tell: Callable[[str], None]) -> "Tracked":
        """Return the places of these names. Raises UserError."""
        return Tracked(tuple(destination(text, base=Path.cwd()) for text in texts), tell)


@dataclass(frozen=True)
class Options:
    """The options of a run, as `simulations.run.run` explains them; `command` is the command line that gives them."""

    runtime: str | stages.Runtime
    threads: int
    device: str
    resume: bool
    comparison: bool
    progress: Progress
    done: Done
    command: Sequence[str] | None
    contributions: bool = False
    beginning: Beginning | None = None
    """What an earlier phase ended with, where this run goes on from there."""
    tracked: Tracked = Tracked()
    groups: Wanted = AS_SUITS


def run_study(study: Study, folder: Path, options: Options, *, seeds: int) -> Results:
    """Run `study` in `folder`; more than one seed in `folder/seed-K` each, summed up in `folder`."""
    if seeds == 1:
        return _run_once(study, RunFolder(folder), options)
    check_seeds(folder, resume=options.resume)
    studies = [_reseeded(study, k) for k in range(seeds)]
    runs = [_run_once(each, RunFolder(folder / f"seed-{each.seed}"), options) for each in studies]
    shutil.copytree(runs[0].adapter, folder / "adapter", dirs_exist_ok=True)
    return _finish(folder, combine([r.content for r in runs]))


def overridden(study: Study, *, rounds: int | None, seed: int | None) -> Study:
    """Return the study with these in place of its own, where given."""
    changes = {"federation.rounds": rounds, "seed": seed}
    return _replaced(study, {key: value for key, value in changes.items() if value is not None})


def _reseeded(study: Study, k: int) -> Study:
    """Return the study with another draw and another split."""
    split = study.evaluation.split_seed + k
    return _replaced(study, {"seed": study.seed + k, "evaluation.split_seed": split})


def _replaced(study: Study, changes: Mapping[str, int]) -> Study:
    try:
        return replaced(study, changes)
    except ValidationError as error:
        raise StudyError(first_error(error, Study)) from None


def _run_once(study: Study, folder: RunFolder, options: Options) -> Results:
    """Play one run, or read what it has left; tracking, where it lags, catches up in both cases."""
    with tracked(folder.path, options.tracked.to, options.tracked.tell):
        return _results(study, folder, options)


def _results(study: Study, folder: RunFolder, options: Options) -> Results:
    if options.resume and folder.is_used() and folder.results.exists():
        check_same_study(study, folder)
        return read_results(folder.path)
    if options.contributions:
        check_contributions(study)
    begin = time.perf_counter()
    with collecting_later():
        sites = _open(study, folder, options)
    if sites.decision.obstacle is not None:
        options.tracked.tell(f"the hospitals are trained one after the other: {sites.decision.obstacle}")
    with folder.at_work():
        return _played(sites, folder, options, begin)


def _played(sites: VirtualSites, folder: RunFolder, options: Options, begin: float) -> Results:
    """Play the rounds, measure what came out, and write it all; `begin`: when preparations began."""
    prepared = time.perf_counter()
    outcome = stages.play(sites, runtime=options.runtime, progress=options.progress, workers=options.groups.workers)
    _write_private(sites, outcome)
    played = time.perf_counter()
    content, budgets, more = _compared(sites, outcome, options)
    measured = Measured(prepared - begin, played - prepared, time.perf_counter() - played)
    found = assemble(
        sites.bundle,
        outcome,
        comparison=content,
        budgets=budgets,
        measured=measured,
        execution={**sites.execution.to_json(), **sites.decision.told()},
        runtime=options.runtime if isinstance(options.runtime, str) else "flower",
        command=options.command,
    )
    earlier = read_earlier(folder)
    found["continual"] = None if earlier is None else continual_json(sites, outcome, earlier)
    spent = spent_by_site(sites)
    if spent is not None:
        found["privacy"] = {**found["privacy"], "sites": spent}
    found |= _told_at_the_end(sites, outcome, more)
    write_adapter(folder.adapter, sites.bundle, outcome.adapter, card=render_card(found))
    return _finish(folder.path, found)


def _open(study: Study, folder: RunFolder, options: Options) -> VirtualSites:
    threads, device, groups = options.threads, options.device, options.groups
    if options.resume and folder.is_used():
        return stages.resume(study, folder, threads=threads, device=device, groups=groups)
    return stages.start(study, folder, threads=threads, device=device, beginning=options.beginning, groups=groups)


def _compared(
    sites: VirtualSites, outcome: Outcome, options: Options
) -> tuple[dict[str, object] | None, Mapping[str, Budget], dict[str, Any]]:
    """Return the comparison, its budgets, and what else the sites' scores together tell."""
    study = sites.bundle.study
    answered = sorted(outcome.test)
    scoring = Scoring(
        rows={site: sites.rows[site].test for site in answered},
        measure=task_of(study.task).measure,
        resamples=study.evaluation.resamples,
        seed=study.seed,
    )
    federated = {site: sites.disks.store(site).test_scores(outcome.state.run) for site in answered}
    if not answered:
        return None, {}, {}
    alone = contributions(sites, scoring, federated, done=options.done) if options.contributions else None
    if not options.comparison:
        return None, {}, {"contributions": alone, "decision_curve": decision_curve(scoring, {"federated": federated})}
    results = stages.train_rivals(sites, outcome, done=options.done)
    local = {site: results[f"local/{site}"].outputs[site] for site in answered}
    curve = decision_curve(scoring, {"federated": federated, "local": local})
    content, budgets = compare(
        scoring,
        federated=federated,
        one_model=not (study.peft.private or study.federation.ranks),
        results=results,
        raw=sites.raw,
        study=study,
    )
    return content, budgets, {"contributions": alone, "decision_curve": curve}


def _told_at_the_end(sites: VirtualSites, outcome: Outcome, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `results.json` says beside the comparison, for who judges the adapter."""
    return {**more, "recalibration": recalibrated(sites, outcome), "receipts": journals(sites)}


def _write_private(sites: VirtualSites, outcome: Outcome) -> None:
    """Leave each virtual site's private tensors where `fedpeft predict --private` finds them."""
    names = sites.bundle.schema.private.names
    if not names:
        return
    for site in sites.rows:
        state = stages.full_state(sites, outcome, site)
        content = to_safetensors({name: state[name] for name in names})
        write_bytes(stages.private_folder(sites.folder, site) / private_tensors.FILE, content, mode=0o600)


def _finish(folder: Path, content: Mapping[str, object]) -> Results:
    write_report(content, folder / "report.html")
    return write_results(folder, content)  # last: where it is, the run is complete
