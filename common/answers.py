"""The part of a site's answer that is not tensors, as JSON: for the site's store and for the wire. And its digest."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, cast  # JSON values

from common import evidence_json
from common.errors import SchemaError
from common.files import digest_json
from common.metrics.measure import Measure
from common.metrics.types import Scores
from common.protocol import REASONS, Answer, Refusal, Reply, Split, SplitEvaluation
from common.state import AdapterState, digest_state


def to_json(answer: Answer) -> dict[str, Any]:
    """Return everything of `answer` but its tensors."""
    if isinstance(answer, Refusal):
        return {"refused": answer.reason}
    evaluations = {split: _evaluation_to_json(e) for split, e in answer.evaluations.items()}
    return {"examples": answer.examples, "train": dict(answer.train), "evaluations": evaluations}


def _evaluation_to_json(evaluation: SplitEvaluation) -> dict[str, Any]:
    summary = None if evaluation.summary is None else evaluation.summary.to_json()
    found = {"scores": evaluation.scores.to_json(), "summary": summary}
    return found if evaluation.evidence is None else {**found, "evidence": evidence_json.to_json(evaluation.evidence)}


def payload_digest(answer: Answer) -> str | None:
    """Return the digest of everything that a reply carries: tensors, counts, figures, metrics, summaries.

    A site takes it of what leaves, the server of what it read, and both have the same. None for a refusal: nothing of
    the rows is in its one word.

    Raises:
        ValueError: a text of the reply is not Unicode (a lone surrogate), or a number is not finite.
    """
    if isinstance(answer, Refusal):
        return None
    figures = {name: float(value) for name, value in answer.train.items()}  # as `from_json` reads them
    content = {**to_json(answer), "train": figures}
    return digest_json([content, digest_state(answer.update), digest_state(answer.extra)])


def from_json(content: Any, *, update: AdapterState, extra: AdapterState, measure: Measure) -> Answer:
    """Read what `to_json` wrote, with the tensors beside it; anything unexpected is a SchemaError."""
    if not isinstance(content, Mapping):
        raise SchemaError(f"the answer is {type(content).__name__}, expected a table")
    if set(content) == {"refused"}:
        if not isinstance(content["refused"], str) or content["refused"] not in REASONS:
            raise SchemaError("the site refuses with a word that is not in the list of reasons")
        return Refusal(content["refused"])
    if set(content) != {"examples", "train", "evaluations"}:
        raise SchemaError(f"the answer has keys {sorted(map(str, content))}, expected examples, train, evaluations")
    return Reply(
        update=update,
        examples=_count(content["examples"]),
        train=_numbers(content["train"]),
        evaluations=_evaluations(content["evaluations"], measure),
        extra=extra,
    )


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SchemaError(f"examples = {value!r}, expected a whole number of rows")
    return value


def _numbers(content: Any) -> dict[str, float]:
    if not isinstance(content, Mapping):
        raise SchemaError(f"train is {type(content).__name__}, expected a table of numbers")
    for name, value in content.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise SchemaError(f"train.{name} is not a finite number")
    return {str(name): float(value) for name, value in content.items()}


def _evaluations(content: Any, measure: Measure) -> dict[Split, SplitEvaluation]:
    if not isinstance(content, Mapping) or not set(content) <= {"validation", "test"}:
        raise SchemaError("evaluations are not a table by split")
    return {cast("Split", split): _evaluation(value, measure) for split, value in content.items()}


def _evaluation(content: Any, measure: Measure) -> SplitEvaluation:
    if not isinstance(content, Mapping) or set(content) - {"evidence"} != {"scores", "summary"}:
        raise SchemaError("an evaluation has other keys than scores, summary and evidence")
    scores = Scores.from_json(content["scores"])
    evidence = evidence_json.from_json(content["evidence"], measure) if "evidence" in content else None
    if content["summary"] is None:
        return SplitEvaluation(scores, evidence=evidence)
    summary = measure.read_summary(content["summary"])
    if summary.n != scores.n:
        raise SchemaError(f"the summary holds {summary.n} rows, the scores say {scores.n}")
    return SplitEvaluation(scores, summary, evidence)
