"""The server's check of one decoded reply: accepted, or refused with a reason. It never ends a round."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from common.compressing import restored
from common.compression import Compression
from common.compression.none import UNCOMPRESSED
from common.errors import SchemaError
from common.metrics.measure import MetricInfo
from common.metrics.types import Metric, Scores
from common.protocol import TRAIN_FIGURES, Reply, Split, SplitEvaluation
from common.site_evidence import SiteEvidence
from common.state import AdapterSchema, norm
from common.study_evaluation import NOTHING_MORE, EvaluationSection
from server.aggregation import ClientUpdate

MAX_EXAMPLES: Final = 10**7
MAX_NORM: Final = 1e15
"""Bound where the study sets none: no product of two such factors, nor a sum of some, is infinite in float32."""
_MAX_REASON: Final = 200
MAX_FIGURE: Final = 1e9
MAX_METRIC: Final = 1e12
"""Of metrics without a largest value, such as a loss."""

Weighting = Literal["examples", "uniform"]


@dataclass(frozen=True)
class Asked:
    """What an accepted reply must be.

    schema: the tensors asked for, none where nothing is trained. compression: in which they come. splits: those to
    evaluate. declared: the example count of this site's first accepted reply of the run, None before it. norm_bound:
    largest Euclidean norm of an update, None for MAX_NORM. infos: the metrics that there may be. evaluation: what the
    study asks for at the end, of test rows.
    """

    schema: AdapterSchema
    splits: tuple[Split, ...]
    declared: int | None
    norm_bound: float | None
    weighting: Weighting
    infos: tuple[MetricInfo, ...]
    compression: Compression = UNCOMPRESSED
    evaluation: EvaluationSection = NOTHING_MORE


@dataclass(frozen=True)
class Accepted:
    """A reply that counts. `norm` is the Euclidean norm of the update, which is no longer compressed."""

    update: ClientUpdate
    norm: float
    train: Mapping[str, float]
    evaluations: Mapping[Split, SplitEvaluation]


@dataclass(frozen=True)
class Refused:
    """A reply that does not count, and why: one short printable line."""

    reason: str


def admit(site: str, reply: Reply, asked: Asked) -> Accepted | Refused:
    """Check names, shapes, dtypes, finiteness, norm, example count and metrics of a reply."""
    try:
        trained = restored(reply.update, asked.schema, asked.compression)
        length = norm(trained)
        _check_norm(length, asked.norm_bound)
        _check_examples(reply.examples, asked)
        _check_train(reply.train)
        _check_evaluations(reply.evaluations, asked)
        _check_extra(reply)
    except SchemaError as error:
        return Refused(printable(str(error)))
    weight = float(reply.examples) if asked.weighting == "examples" else 1.0
    update = ClientUpdate(site, trained, reply.examples, weight, reply.extra)
    return Accepted(update, length, reply.train, reply.evaluations)


def printable(text: str) -> str:
    """Return at most 200 printable characters: part of the text may come from the site.

    >>> printable("lacks 'a'" + chr(10) + "forged line")
    "lacks 'a' forged line"
    """
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_REASON])


def _check_norm(length: float, bound: float | None) -> None:
    limit = MAX_NORM if bound is None else bound
    if not length <= limit:
        raise SchemaError(f"update has norm {length:.4g}, the bound is {limit:.4g}")


def _check_examples(examples: int, asked: Asked) -> None:
    least = 1 if asked.schema.tensors else 0
    if not least <= examples <= MAX_EXAMPLES:
        raise SchemaError(f"{examples} examples, allowed are {least} to {MAX_EXAMPLES}")
    if asked.declared is not None and examples != asked.declared:
        raise SchemaError(f"{examples} examples, but {asked.declared} in an earlier round of this run")


def _check_train(train: Mapping[str, float]) -> None:
    """Four figures of a plausible size: a finite but huge one would make the mean of all sites infinite."""
    if not set(train) <= TRAIN_FIGURES:
        raise SchemaError(f"figures of training other than {', '.join(sorted(TRAIN_FIGURES))}")
    for name, value in train.items():
        if not 0 <= value <= MAX_FIGURE:
            raise SchemaError(f"train {name} is not between 0 and {MAX_FIGURE:g}")


def _check_evaluations(evaluations: Mapping[Split, SplitEvaluation], asked: Asked) -> None:
    if set(evaluations) != set(asked.splits):
        raise SchemaError(f"evaluates {sorted(evaluations)}, asked for {sorted(asked.splits)}")
    known = {info.name: info for info in asked.infos}
    for split, evaluation in evaluations.items():
        _check_scores(evaluation.scores, known)
        if evaluation.evidence is not None:
            _check_evidence(split, evaluation.evidence, known, asked)


def _check_scores(scores: Scores, known: Mapping[str, MetricInfo]) -> None:
    if not 0 <= scores.patients <= scores.n <= MAX_EXAMPLES:
        raise SchemaError(f"{scores.patients} patients in {scores.n} rows, at most {MAX_EXAMPLES} rows are allowed")
    if not set(scores.metrics) <= set(known):
        raise SchemaError(f"metrics other than {', '.join(known)}")
    for name, metric in scores.metrics.items():
        _check_metric(known[name], metric, scores.n)


def _check_evidence(split: Split, evidence: SiteEvidence, known: Mapping[str, MetricInfo], asked: Asked) -> None:
    """What was not asked for is refused, as everything is: the site's policy lets out no more than was approved."""
    if split != "test" or not evidence.is_asked_by(asked.evaluation):
        raise SchemaError(f"tells of {', '.join(evidence.parts) or 'nothing'} on {split} rows, which nobody asked for")
    for subgroup in evidence.shown():
        _check_scores(subgroup.scores, known)


def _check_metric(info: MetricInfo, metric: Metric, rows: int) -> None:
    name, least, largest = info.name, max(info.low, -MAX_METRIC), min(info.high, MAX_METRIC)
    numbers = [x for x in (metric.low, metric.value, metric.high, metric.error) if x is not None]
    if not all(least <= x <= largest for x in numbers):
        raise SchemaError(f"metric {name} is not between {least:g} and {largest:g}")
    if metric.low is not None and metric.high is not None and metric.low > metric.high:
        raise SchemaError(f"metric {name} has an interval from high to low")
    if metric.reason is not None and (len(metric.reason) > _MAX_REASON or not metric.reason.isprintable()):
        raise SchemaError(f"metric {name} has a reason that is not a short printable line")
    if not 0 <= metric.n <= rows:
        raise SchemaError(f"metric {name} is of {metric.n} rows, the split has {rows}")


def _check_extra(reply: Reply) -> None:
    """Refuse every further array: a plan's figures go to a site, and no strategy asks for arrays back."""
    if reply.extra:
        raise SchemaError(f"{len(reply.extra)} extra arrays, such as {min(reply.extra)!r:.80}; none was asked for")
