"""`results.json` of real sites, and what it shares with that of a simulation. Absent is null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any  # JSON values

from common.bundle import Bundle
from common.carried import split_carried
from common.machine import versions
from common.metrics.mean_over_sites import mean_over_sites
from common.protecting import mechanism_of
from common.seeds import generator
from common.strategy_check import mean_is_exact
from common.study_task import task_of
from server import records
from server.enough import strategy_of
from server.evidence import evidence_json
from server.noised_mean import rule_of
from server.outcome_json import outcome_json

if TYPE_CHECKING:  # it would bring Flower to whoever reads a report
    from server.closing import Outcome


def results_json(
    bundle: Bundle,
    outcome: Outcome,
    *,
    comparison: Mapping[str, object] | None,
    curves: Mapping[str, object] | None,
    seconds: Mapping[str, float],
    execution: Mapping[str, object] | None,
    command: Sequence[str] | None,
) -> dict[str, Any]:
    """Return the content of `results.json`; `command` are the words that run it again, None where none do."""
    return {
        **outcome_json(bundle, outcome),
        "command": None if command is None else list(command),
        "seeds": [bundle.study.seed],
        "comparison": comparison,
        "curves": curves or None,
        "parameters": _parameters(bundle, outcome),
        "bytes": _bytes(bundle, outcome),
        "seconds": {"total": sum(seconds.values()), **seconds},
        "privacy": _privacy(bundle, outcome),
        **_evidence(bundle, outcome),
        "decision_curve": None,
        "contributions": None,
        "receipts": None,
        "versions": versions(),
        "execution": execution,
    }


def _evidence(bundle: Bundle, outcome: Outcome) -> dict[str, Any]:
    study = bundle.study
    measure, resamples = task_of(study.task).measure, study.evaluation.resamples
    one_model = is_one_model(bundle)
    return evidence_json(outcome.test, measure, resamples=resamples, seed=study.seed, one_model=one_model)


def is_one_model(bundle: Bundle) -> bool:
    """Whether one model scores all sites: none has private tensors or a rank of its own."""
    return not (bundle.schema.private.tensors or bundle.study.federation.ranks)


def _privacy(bundle: Bundle, outcome: Outcome) -> dict[str, Any] | None:
    """Return what the study promises, with what the rounds played have spent where the server adds the noise."""
    promised = mechanism_of(bundle.study).guarantee(bundle.study)
    rule = rule_of(bundle.study, len(bundle.study.federation.sites))
    if promised is None or rule is None:
        return None if promised is None else dict(promised)
    spent = outcome.state.spent
    played = {"rounds": sum(each.steps for each in spent), "epsilon": rule.epsilon_of(spent)}
    return {**promised, **played, "epsilon_planned": promised["epsilon"], "rounds_planned": promised["rounds"]}


def of_real_sites(bundle: Bundle, outcome: Outcome, *, seconds: float) -> dict[str, Any]:
    """Return the results of a run over real sites, each of which scored its own test rows.

    Nobody has all rows, so there is no central model, and what a site's own model is worth only the site can say.
    """
    return results_json(
        bundle,
        outcome,
        comparison=_federated(bundle, outcome),
        curves=None,
        seconds={"rounds": seconds},
        execution={"runtime": "superlink"},
        command=None,
    )


def _federated(bundle: Bundle, outcome: Outcome) -> dict[str, Any] | None:
    if not outcome.test:
        return None
    found = records.validation(
        outcome.test,
        task_of(bundle.study.task).measure,
        resamples=bundle.study.evaluation.resamples,
        rng=generator(bundle.study.seed, purpose="bootstrap pooled"),
        one_model=is_one_model(bundle),
    )
    mean = mean_over_sites({site: evaluation.scores for site, evaluation in outcome.test.items()})
    means = {name: metric.to_json() for name, metric in mean.items()}
    others = dict.fromkeys(("personalised", "local", "central", "benefit", "logistic", "over_seeds"))
    return {"federated": {**found, "mean": means}, **others}


def _parameters(bundle: Bundle, outcome: Outcome) -> dict[str, float]:
    """Counts, and whether the mean of adapters is the mean of the models that they make, by method and strategy.

    carried: of what the kept adapter has beside it.
    """
    trainable = bundle.schema.trained_size
    total = bundle.base_model.parameters + trainable
    return {
        "trainable": trainable,
        "shared": bundle.schema.shared.size,
        "carried": sum(array.size for array in split_carried(outcome.adapter)[1].values()),
        "total": total,
        "fraction": trainable / total,
        "aggregates_linearly": mean_is_exact(bundle.study, strategy_of(bundle.study)),
    }


def _bytes(bundle: Bundle, outcome: Outcome) -> dict[str, float]:
    """The largest reply that a site sent in a round, as bytes on the wire, against the whole model in float32."""
    sent = [p["bytes_up"] for r in outcome.rounds for p in r["participation"].values() if p["bytes_up"]]
    return {
        "up_per_site_round": max(sent, default=0),
        "full_model": bundle.base_model.size_bytes + bundle.schema.size_bytes,
    }
