"""A site's evidence as JSON: for its store and for the wire. What is read comes from another machine."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final, TypeVar  # JSON values

from common.cohort_statistics import LARGEST_SUM, Cohort, Counts, Numbers
from common.errors import SchemaError
from common.metrics.measure import Measure
from common.metrics.recalibration import Recalibration
from common.metrics.types import Scores
from common.site_evidence import SiteEvidence, Subgroup, Subgroups

T = TypeVar("T")
MOST_NAMES: Final = 1000
"""Columns of a cohort, or levels of one column."""
_LONGEST_NAME: Final = 200
_LARGEST: Final = 2**53


def to_json(evidence: SiteEvidence) -> dict[str, Any]:
    """Return `{"small_cell", "cohort", "subgroups", "recalibration"}`."""
    return {
        "small_cell": evidence.small_cell,
        "cohort": None if evidence.cohort is None else cohort_json(evidence.cohort),
        "subgroups": None if evidence.subgroups is None else _subgroups_json(evidence.subgroups),
        "recalibration": None if evidence.recalibration is None else evidence.recalibration.to_json(),
    }


def cohort_json(cohort: Cohort) -> dict[str, Any]:
    """Return a cohort as a table."""
    return asdict(cohort)


def _subgroups_json(subgroups: Subgroups) -> dict[str, Any]:
    return {
        column: {name: None if each is None else _subgroup_json(each) for name, each in levels.items()}
        for column, levels in subgroups.items()
    }


def _subgroup_json(subgroup: Subgroup) -> dict[str, Any]:
    summary = None if subgroup.summary is None else subgroup.summary.to_json()
    return {"scores": subgroup.scores.to_json(), "summary": summary}


def from_json(content: Any, measure: Measure) -> SiteEvidence:
    """Read what `to_json` wrote; anything unexpected is a SchemaError."""
    fields = _table(content, {"small_cell", "cohort", "subgroups", "recalibration"}, "evidence")
    return SiteEvidence(
        small_cell=_count(fields["small_cell"]),
        cohort=_or_none(fields["cohort"], _cohort),
        subgroups=_or_none(fields["subgroups"], lambda value: _subgroups(value, measure)),
        recalibration=_or_none(fields["recalibration"], Recalibration.from_json),
    )


def _cohort(content: Any) -> Cohort:
    keys = {"small_cell", "rows", "patients", "labels", "categories", "numbers"}
    fields = _table(content, keys, "cohort")
    return Cohort(
        small_cell=_count(fields["small_cell"]),
        rows=_or_none(fields["rows"], _count),
        patients=_or_none(fields["patients"], _count),
        labels=_or_none(fields["labels"], _counts),
        categories=_or_none(fields["categories"], lambda value: _named(value, _counts)),
        numbers=_or_none(fields["numbers"], lambda value: _named(value, _numbers)),
    )


def _counts(content: Any) -> Counts:
    return _named(content, lambda value: _or_none(value, _count))


def _numbers(content: Any) -> Numbers:
    fields = _table(content, {"n", "missing", "total", "squares"}, "a column of numbers")
    if len({value is None for value in fields.values()}) > 1:
        raise SchemaError("a column of numbers is hidden in part")
    return Numbers(
        n=_or_none(fields["n"], _count),
        missing=_or_none(fields["missing"], _count),
        total=_or_none(fields["total"], lambda value: _number(value, most=LARGEST_SUM)),
        squares=_or_none(fields["squares"], lambda value: _number(value, most=LARGEST_SUM**2)),
    )


def _subgroups(content: Any, measure: Measure) -> Subgroups:
    def subgroup(value: Any) -> Subgroup:
        fields = _table(value, {"scores", "summary"}, "a subgroup")
        scores = Scores.from_json(fields["scores"])
        summary = _or_none(fields["summary"], measure.read_summary)
        if summary is not None and summary.n != scores.n:
            raise SchemaError(f"a subgroup's summary holds {summary.n} rows, its scores say {scores.n}")
        return Subgroup(scores, summary)

    return _named(content, lambda levels: _named(levels, lambda value: _or_none(value, subgroup)))


def _or_none(value: Any, read: Callable[[Any], T]) -> T | None:
    return None if value is None else read(value)


def _named(content: Any, read: Callable[[Any], T]) -> dict[str, T]:
    if not isinstance(content, Mapping) or len(content) > MOST_NAMES:
        raise SchemaError(f"expected a table of at most {MOST_NAMES} names")
    for name in content:
        if not isinstance(name, str) or not name.isprintable() or len(name) > _LONGEST_NAME:
            raise SchemaError(f"a name in the evidence is not a printable text of at most {_LONGEST_NAME} characters")
    return {name: read(value) for name, value in content.items()}


def _table(content: Any, keys: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(content, Mapping) or set(content) != keys:
        raise SchemaError(f"{what} is no table of {', '.join(sorted(keys))}")
    return content


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise SchemaError(f"{value!r:.40} in the evidence, expected a whole number from 0")
    return value


def _number(value: Any, *, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= most:
        raise SchemaError(f"{value!r:.40} in the evidence, expected a number up to {most:g}")
    return float(value)
