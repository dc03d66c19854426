"""What each hospital adds: the federation again without it, scored at every hospital's own test rows (leave one out).

Each is a run of its own over the rows, tokens and base model that are at hand, from the same initial adapter with the
same seed, in this process. A hospital's own difference says what it would lose by staying away; that at the others,
what they have of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any  # JSON values

from client.execution import limited_threads
from client.scoring import score
from common.errors import ParticipationError, StudyError
from common.metrics.mean_over_sites import mean_of
from common.metrics.types import Metric
from common.study import Study
from server.events import ignore
from simulations import stages
from simulations.comparison import Scoring
from simulations.folder import RunFolder, new_run_name
from simulations.jobs import Outputs
from simulations.virtual import VirtualSites

FOLDER = "without"


def check_contributions(study: Study) -> None:
    """Raise StudyError where a hospital that was left out could not be scored by the others' adapter as they are."""
    if study.peft.private or study.federation.ranks:
        raise StudyError(
            "--contributions does not go with peft.private or federation.ranks: a hospital that was left out has no "
            "private tensors of its own to be scored with"
        )


def contributions(
    sites: VirtualSites, scoring: Scoring, federated: Outputs, *, done: Callable[[str, int, int], None]
) -> dict[str, Any] | None:
    """Return `{"sites": {left out: {"sites": {scored: {"with", "without", "difference"}}, "mean", "others"}}}`.

    The differences are those of the leading metric, paired, such that more says that the hospital's taking part helps.
    None for fewer than two hospitals.
    """
    names = sorted(sites.rows)
    if len(names) < 2:
        return None
    found = {}
    for number, left_out in enumerate(names, start=1):
        found[left_out] = _contribution(sites, scoring, federated, left_out)
        done(f"without {left_out}", number, len(names))
    return {"metric": scoring.measure.infos[0].name, "sites": found}


def _contribution(sites: VirtualSites, scoring: Scoring, federated: Outputs, left_out: str) -> Mapping[str, Any]:
    """A federation that cannot do without a hospital is a result too: its reason stands in place of figures."""
    try:
        outputs = _scored_without(sites, left_out, scoring)
    except (ParticipationError, StudyError) as error:
        return {"sites": {}, "mean": None, "others": None, "reason": str(error)}
    return _compared(scoring, left_out, federated, outputs)


def _scored_without(sites: VirtualSites, left_out: str, scoring: Scoring) -> Outputs:
    others = _without(sites, left_out)
    outcome = stages.play(others, runtime="inprocess", progress=ignore)
    sites.bench.write(outcome.adapter)
    with limited_threads(sites.execution.threads):
        return {
            site: score(sites.bench, part.examples, execution=sites.execution) for site, part in scoring.rows.items()
        }


def _without(sites: VirtualSites, left_out: str) -> VirtualSites:
    """Return the other sites, in a folder of their own that a resumed run goes on from."""
    folder = RunFolder(sites.folder.path / FOLDER / left_out)
    if not folder.is_used():
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.start(replace(sites.folder.facts(), run=new_run_name()))
    rows = {site: part for site, part in sites.rows.items() if site != left_out}
    attacks = {site: attack for site, attack in sites.attacks.items() if site != left_out}
    return replace(sites, rows=rows, attacks=attacks, folder=folder)


def _compared(scoring: Scoring, left_out: str, federated: Outputs, without: Outputs) -> dict[str, Any]:
    metric = scoring.measure.infos[0].name
    joint = {site: scoring.scores(site, federated[site]).metrics[metric] for site in scoring.rows}
    apart = {site: scoring.scores(site, without[site]).metrics[metric] for site in scoring.rows}
    change = {site: scoring.benefit(site, federated[site], without[site]) for site in scoring.rows}
    others = {site: each for site, each in change.items() if site != left_out}
    return {
        "sites": {site: _entry(joint[site], apart[site], change[site]) for site in sorted(scoring.rows)},
        "mean": _entry(*(mean_of(list(found.values())) for found in (joint, apart, change))),
        "others": mean_of(list(others.values())).to_json(),
    }


def _entry(joint: Metric, apart: Metric, change: Metric) -> Mapping[str, Any]:
    return {"with": joint.to_json(), "without": apart.to_json(), "difference": change.to_json()}
