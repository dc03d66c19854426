import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.compression.int8 import Int8
from common.metrics.classes import ClassMeasure
from common.metrics.types import Metric, Scores
from common.protocol import Reply, SplitEvaluation
from common.site_evidence import SiteEvidence, Subgroup
from common.state import AdapterSchema
from common.study_evaluation import EvaluationSection
from server.admission import MAX_EXAMPLES, Accepted, Asked, Refused, admit, printable

UPDATE = {"a": np.ones((2, 2), np.float32), "b": np.zeros(3, np.float32)}
SCHEMA = AdapterSchema.of(UPDATE)
ASKED = Asked(
    schema=SCHEMA,
    splits=("validation",),
    declared=None,
    norm_bound=None,
    weighting="examples",
    infos=ClassMeasure(2).infos,
)


def scores(n: int = 4, patients: int = 3, **metrics: Metric) -> dict[Any, SplitEvaluation]:
    return {"validation": SplitEvaluation(Scores(n, patients, metrics or {"auroc": Metric(0.5, n)}))}


GOOD = Reply(update=UPDATE, examples=20, train={"loss": 1.0}, evaluations=scores())


def test_a_good_reply_is_accepted_with_its_weight_and_norm() -> None:
    verdict = admit("north", GOOD, ASKED)
    assert isinstance(verdict, Accepted)
    assert (verdict.update.site, verdict.update.examples, verdict.update.weight) == ("north", 20, 20.0)
    assert verdict.norm == 2.0
    uniform = admit("north", GOOD, replace(ASKED, weighting="uniform"))
    assert isinstance(uniform, Accepted)
    assert uniform.update.weight == 1.0


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "missing tensor": ({"update": {"a": UPDATE["a"]}}, "lacks 'b'"),
    "extra tensor": ({"update": {**UPDATE, "c": UPDATE["b"]}}, "has 'c'"),
    "shape": ({"update": {**UPDATE, "b": np.zeros(4, np.float32)}}, "float32\\[4\\]"),
    "dtype": ({"update": {**UPDATE, "b": np.zeros(3)}}, "float64"),
    "NaN": ({"update": {**UPDATE, "b": np.full(3, np.nan, np.float32)}}, "not finite"),
    "overflow": ({"update": {**UPDATE, "b": np.full(3, 3e38, np.float32)}}, "norm"),
    "1e12 examples": ({"examples": 10**12}, "1000000000000 examples"),
    "no examples": ({"examples": 0}, "0 examples"),
    "negative examples": ({"examples": -5}, "-5 examples"),
    "loss is NaN": ({"train": {"loss": float("nan")}}, "not between"),
    "loss that makes the mean infinite": ({"train": {"loss": 1.7e308}}, "not between"),
    "train of a patient": ({"train": {"John Doe, 1950": 1.0}}, "figures of training other"),
    "no evaluation": ({"evaluations": {}}, "evaluates"),
    "another split": ({"evaluations": {"test": scores()["validation"]}}, "evaluates"),
    "metric is infinite": ({"evaluations": scores(auroc=Metric(float("inf"), 4))}, "not between"),
    "accuracy over 1": ({"evaluations": scores(accuracy=Metric(99.0, 4))}, "not between"),
    "interval that pools to infinity": (
        {"evaluations": scores(accuracy=Metric(0.5, 4, low=-1.7e308, high=1.7e308))},
        "not between",
    ),
    "interval upside down": ({"evaluations": scores(auroc=Metric(0.5, 4, low=0.9, high=0.1))}, "from high to low"),
    "a reason as long as a book": ({"evaluations": scores(auroc=Metric(None, 4, reason="x" * 10**5))}, "reason"),
    "a reason with an escape code": ({"evaluations": scores(auroc=Metric(None, 4, reason="\x1b[2J"))}, "reason"),
    "metric of more rows": ({"evaluations": scores(auroc=Metric(0.5, 5))}, "5 rows"),
    "more patients than rows": ({"evaluations": scores(n=2, patients=3, auroc=Metric(0.5, 2))}, "3 patients"),
    "rows without end": ({"evaluations": scores(n=10**9, patients=1)}, "at most"),
    "name of a metric": ({"evaluations": scores(**{"<b>": Metric(0.5, 4)})}, "metrics other"),
    "extra unasked": ({"extra": {"c/a": UPDATE["a"]}}, "none was asked for"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_reply_is_refused_with_a_reason(name: str) -> None:
    changes, reason = BAD[name]
    verdict = admit("north", replace(GOOD, **changes), ASKED)
    assert isinstance(verdict, Refused)
    assert re.search(reason, verdict.reason), verdict.reason


def test_examples_must_stay_as_they_were_first_declared() -> None:
    asked = replace(ASKED, declared=20)
    assert isinstance(admit("north", GOOD, asked), Accepted)
    assert isinstance(admit("north", replace(GOOD, examples=21), asked), Refused)


@given(st.floats(0.1, 10))
def test_the_norm_bound_is_the_largest_norm_that_passes(bound: float) -> None:
    verdict = admit("north", GOOD, replace(ASKED, norm_bound=bound))
    assert isinstance(verdict, Accepted) == (bound >= 2.0)


def test_norm_and_update_are_those_that_a_payload_stands_for() -> None:
    """The payload of a norm of 2 is numbers up to 127, of a norm of 254."""
    asked = replace(ASKED, compression=Int8(), norm_bound=2.1)
    payload, _ = Int8().compress(UPDATE, {}, np.random.default_rng(0))
    verdict = admit("north", replace(GOOD, update=payload), asked)
    assert isinstance(verdict, Accepted)
    assert abs(verdict.norm - 2.0) < 1e-6
    assert set(verdict.update.update) == set(UPDATE)
    assert isinstance(admit("north", replace(GOOD, update=payload), replace(asked, norm_bound=1.9)), Refused)
    assert isinstance(admit("north", GOOD, asked), Refused)


def test_a_site_without_training_rows_may_still_evaluate() -> None:
    asked = replace(ASKED, schema=SCHEMA.only(()))
    assert isinstance(admit("north", replace(GOOD, update={}, examples=0), asked), Accepted)
    assert isinstance(admit("north", replace(GOOD, update={}, examples=MAX_EXAMPLES + 1), asked), Refused)


@given(st.text(max_size=400))
def test_a_reason_is_one_short_printable_line(text: str) -> None:
    line = printable(text)
    assert len(line) <= 200
    assert line.isprintable()


def evidence(small_cell: int = 10, rows: int = 30, **metrics: Metric) -> SiteEvidence:
    told = Scores(rows, rows, metrics or {"auroc": Metric(0.5, rows)})
    return SiteEvidence(small_cell, subgroups={"sex": {"f": Subgroup(told)}})


CLOSING = replace(
    ASKED, schema=AdapterSchema(()), splits=("test",), evaluation=EvaluationSection(subgroups=("sex",))
)  # fmt: skip


def telling(told: SiteEvidence, split: Any = "test") -> Reply:
    found = SplitEvaluation(scores()["validation"].scores, evidence=told)
    return replace(GOOD, update={}, evaluations={split: found})


def test_evidence_that_was_asked_for_is_accepted() -> None:
    assert isinstance(admit("north", telling(evidence()), CLOSING), Accepted)


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        (evidence(small_cell=3), CLOSING),
        (evidence(), replace(CLOSING, evaluation=EvaluationSection(cohort=True))),
        (evidence(), replace(CLOSING, evaluation=EvaluationSection(subgroups=("age",), small_cell=3))),
        (evidence(auroc=Metric(1.5, 30)), CLOSING),
        (evidence(other=Metric(0.5, 30)), CLOSING),
    ],
)
def test_evidence_that_was_not_or_is_wrong_is_refused(told: SiteEvidence, asked: Asked) -> None:
    assert isinstance(admit("north", telling(told), asked), Refused)


def test_nobody_tells_of_patients_before_the_end() -> None:
    verdict = admit("north", telling(evidence(), "validation"), replace(CLOSING, splits=("validation",)))
    assert isinstance(verdict, Refused)
    assert "nobody asked for" in verdict.reason
