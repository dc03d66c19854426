"""Entities and their metrics against a reading of the tags that knows nothing of ours."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.metrics.entities import contributions, entities, entity_measure, type_of, types_of

TAGS = ("O", "B-x", "I-x", "B-y", "I-y")
ROW = st.lists(st.sampled_from(TAGS), min_size=1, max_size=9)


def by_pattern(tags: list[str]) -> set[tuple[str, int, int]]:
    """One letter a word; an entity is a beginning, or an inside after anything else, and the insides that follow."""
    letters = "".join({"O": "o", "B-x": "X", "I-x": "x", "B-y": "Y", "I-y": "y"}[tag] for tag in tags)
    spans = re.finditer("Xx*|x+|Yy*|y+", letters)
    return {(span[0][0].lower(), span.start(), span.end() - 1) for span in spans}


@given(ROW)
def test_entities_are_runs_of_a_type(tags: list[str]) -> None:
    assert entities(tags) == by_pattern(tags)


def test_plain_tags_are_insides() -> None:
    assert entities(["x", "x", "O", "y"]) == {("x", 0, 1), ("y", 3, 3)}
    assert types_of(["O", "B-x", "I-x", "y"]) == ("x", "y")
    assert type_of("B-") == ""


@given(st.lists(st.tuples(ROW, st.data()), min_size=1, max_size=6), st.data())
def test_scores_are_counts_of_sets(rows: list[tuple[list[str], object]], data: st.DataObject) -> None:
    pairs = [
        (real, data.draw(st.lists(st.sampled_from(TAGS), min_size=len(real), max_size=len(real)))) for real, _ in rows
    ]
    measure = entity_measure(("x", "y"))
    scores = np.array([contributions(real, named, 0.5, ("x", "y")) for real, named in pairs])
    found = measure.evaluate(
        scores, np.empty(0), [str(i) for i in range(len(pairs))], resamples=0, rng=np.random.default_rng(0)
    )
    truth = {(i, *e) for i, (real, _) in enumerate(pairs) for e in by_pattern(real)}
    guess = {(i, *e) for i, (_, named) in enumerate(pairs) for e in by_pattern(named)}
    values = {name: metric.value for name, metric in found.metrics.items()}
    assert values["entity_f1"] == (
        pytest.approx(2 * len(truth & guess) / len([*truth, *guess])) if truth | guess else None
    )
    assert values["entity_precision"] == (pytest.approx(len(truth & guess) / len(guess)) if guess else None)
    assert values["entity_recall"] == (pytest.approx(len(truth & guess) / len(truth)) if truth else None)
    words = [(a, b) for real, named in pairs for a, b in zip(real, named, strict=True)]
    assert values["word_accuracy"] == pytest.approx(sum(a == b for a, b in words) / len(words))
    each = []
    for kind in "xy":
        one, other = {e for e in truth if e[1] == kind}, {e for e in guess if e[1] == kind}
        if one | other:
            each.append(2 * len(one & other) / (len(one) + len(other)))
    assert values["entity_f1_macro"] == (pytest.approx(np.mean(each)) if each else None)
