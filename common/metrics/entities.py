"""Entities in a row of tags, and the measure of them: exact spans, counted over rows.

Spans are read as the CoNLL shared tasks did (Tjong Kim Sang and Buchholz 2000, "Introduction to the CoNLL-2000 Shared
Task", https://aclanthology.org/W00-0726): an `I-` tag after another type or after no entity begins one too. A tag
without `B-` or `I-` is read as `I-`. An entity counts as found if its type and both its ends are right.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from common.metrics.measure import MetricInfo
from common.metrics.sums import ROW_LOSS, OfSums, SumMeasure, SumMetric, ratio
from common.metrics.types import Floats

OUTSIDE: Final = "O"
Entity = tuple[str, int, int]
"""Type, first word, last word."""

INFOS: Final = (
    MetricInfo(
        "entity_f1",
        "Entity F1",
        "Entity F1 is the harmonic mean of the share of named entities that are real and the share of real ones that "
        "are named, where type and both ends must be right: 1 is perfect.",
    ),
    MetricInfo("entity_precision", "Precision", "Share of named entities that are real."),
    MetricInfo("entity_recall", "Recall", "Share of real entities that are named."),
    MetricInfo("entity_f1_macro", "F1, mean over types", "Entity F1 of each type that occurs or is named, averaged."),
    MetricInfo("word_accuracy", "Word accuracy", "Share of words with the right tag."),
    ROW_LOSS,
)
_ROW_COLUMNS: Final = ("rows", "words", "right_words", "loss")
_TYPE_COLUMNS: Final = ("found", "named", "real")


def entities(tags: Sequence[str]) -> set[Entity]:
    """Return the entities of one row.

    >>> sorted(entities(["B-drug", "I-drug", "O", "I-dose", "B-dose"]))
    [('dose', 3, 3), ('dose', 4, 4), ('drug', 0, 1)]
    """
    found: set[Entity] = set()
    start, kind = 0, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        begins, here = tag.startswith("B-"), type_of(tag)
        if kind and (begins or here != kind):
            found.add((kind, start, place - 1))
            kind = ""
        if here and not kind:
            start, kind = place, here
    return found


def type_of(tag: str) -> str:
    """Return the type that a tag names, nothing for `O`.

    >>> type_of("B-drug"), type_of("drug"), type_of("O")
    ('drug', 'drug', '')
    """
    if tag == OUTSIDE:
        return ""
    return tag[2:] if tag[:2] in ("B-", "I-") else tag


def types_of(tags: Sequence[str]) -> tuple[str, ...]:
    """Return the types that tags name, in their order, each once."""
    return tuple(dict.fromkeys(kind for tag in tags if (kind := type_of(tag))))


def contributions(real: Sequence[str], named: Sequence[str], loss: float, types: Sequence[str]) -> list[float]:
    """Return one row's contributions to the measure's sums: of equally many real and predicted tags."""
    truth, guess = entities(real), entities(named)
    right = sum(a == b for a, b in zip(real, named, strict=True))
    counts = [
        float(sum(entity[0] == kind for entity in group)) for kind in types for group in (truth & guess, guess, truth)
    ]
    return [1.0, float(len(real)), float(right), loss, *counts]


def entity_measure(types: Sequence[str]) -> SumMeasure:
    """Return the measure of `contributions` with these types."""
    columns = (*_ROW_COLUMNS, *(f"{column} {kind}" for kind in types for column in _TYPE_COLUMNS))
    formulas: dict[str, OfSums] = {
        "entity_f1": _micro(len(types), "f1"),
        "entity_precision": _micro(len(types), "precision"),
        "entity_recall": _micro(len(types), "recall"),
        "entity_f1_macro": _macro_f1(len(types)),
        "word_accuracy": ratio(2, 1),
        "loss": ratio(3, 0),
    }
    undefined = {"entity_precision": "no entity is named", "entity_recall": "there is no entity"}
    metrics = tuple(
        SumMetric(
            info,
            formulas[info.name],
            undefined=undefined.get(info.name, "there is no entity and none is named"),
            row_mean=info.name == "loss",
        )
        for info in INFOS
    )
    return SumMeasure(columns, metrics, choosing=("entity_f1", "loss"), tuning="loss")


def _by_type(sums: Floats, types: int) -> Floats:
    """Return (..., types, 3): found, named and real entities of each type."""
    counts = sums[..., len(_ROW_COLUMNS) :]
    return counts.reshape(*counts.shape[:-1], types, len(_TYPE_COLUMNS))


def _micro(types: int, kind: str) -> OfSums:
    def of(sums: Floats) -> Floats:
        found, named, real = np.moveaxis(_by_type(sums, types).sum(axis=-2), -1, 0)
        below = {"f1": (named + real) / 2, "precision": named, "recall": real}[kind]
        return _share(found, below)

    return of


def _macro_f1(types: int) -> OfSums:
    def of(sums: Floats) -> Floats:
        found, named, real = np.moveaxis(_by_type(sums, types), -1, 0)
        scores = _share(found, (named + real) / 2)
        occurs = ~np.isnan(scores)
        return _share(np.where(occurs, scores, 0.0).sum(axis=-1), occurs.sum(axis=-1))

    return of


def _share(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)
