"""A site of a crowd answers as one that has a folder of its own does: the folder's store is the oracle."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.store import SiteStore, Store
from common.answers import to_json
from common.errors import CheckpointError, RefusedError
from common.metrics.classes import ClassMeasure
from common.protocol import Answer, Refusal, Reply, Request, RoundPlan
from common.state import digest_state
from simulations.crowd.shelf import Shelf
from simulations.crowd.store import CrowdStore

MEASURE = ClassMeasure(2)


def request(kind: str, number: int, seed: int) -> Request:
    shared = {"a": np.zeros(3, np.float32)}
    first = Request("train", "run-1", number, seed, "s", "t", RoundPlan(), ("validation",), shared)
    return replace(first, kind=kind)  # type: ignore[arg-type] # one of the two


def reply(number: int) -> Reply:
    update = {"a": np.full(3, number, np.float32), "h/b": np.array(number, np.float32)}
    return Reply(update, 5, {"loss": float(number)}, {}, {"x": np.full((1, 2), number, np.float32)})


def said(answer: Answer | None) -> object:
    if not isinstance(answer, Reply):
        return answer
    return to_json(answer), digest_state(answer.update), digest_state(answer.extra)


def outcome(store: Store, asked: Request) -> object:
    """Return what is found, or why not; and save an answer, as a trainer does, where the round is new."""
    try:
        found = store.find(asked)
    except RefusedError as error:
        return error.reason
    if found is None:
        store.save(asked, Refusal("TRAINING_DIVERGED") if asked.round == 3 else reply(asked.round), {}, {})
    return said(found)


QUESTIONS = st.tuples(st.sampled_from(["train", "evaluate"]), st.integers(1, 6), st.integers(0, 1), st.booleans())


@given(asked=st.lists(QUESTIONS, max_size=12))
def test_questions_about_the_last_two_rounds_are_answered_as_by_a_site_with_a_folder(
    asked: list[tuple[str, int, int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A folder keeps the last two rounds that its site was in, which may be older than those that a crowd keeps."""
    place, newest = tmp_path_factory.mktemp("stores"), 0
    own = SiteStore(place / "own", measure=MEASURE, durable=False)
    crowd = CrowdStore(Shelf(place / "crowd"), "east", MEASURE)
    for kind, number, seed, restarted in asked:
        if restarted:
            crowd = CrowdStore(Shelf(place / "crowd"), "east", MEASURE)
        if number < newest - 1 if kind == "train" else number > 2:  # there are two closing messages at most
            continue
        found = outcome(own, request(kind, number, seed))
        assert outcome(crowd, request(kind, number, seed)) == found
        if kind == "train" and found is None:
            newest = max(newest, number)
        recent = {n: said(r) for n, r in own.trained("run-1").items() if n >= newest - 1}
        assert {n: said(r) for n, r in crowd.trained("run-1").items()} == recent


def test_a_round_whose_records_are_gone_is_in_the_past_for_every_site(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for number in (1, 2, 3, 4):
        assert outcome(CrowdStore(shelf, "west", MEASURE), request("train", number, 0)) is None
    assert outcome(CrowdStore(shelf, "east", MEASURE), request("train", 2, 0)) == "ROUND_IN_THE_PAST"
    assert outcome(CrowdStore(shelf, "east", MEASURE), request("train", 3, 0)) is None


def test_scores_are_kept_as_they_are_and_those_that_are_not_there_are_told_of(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random((4, 2))
    CrowdStore(Shelf(tmp_path), "east", MEASURE).save_test_scores("run-1", scores)
    later = Shelf(tmp_path)
    assert np.array_equal(CrowdStore(later, "east", MEASURE).test_scores("run-1"), scores)
    with pytest.raises(CheckpointError, match="west"):
        CrowdStore(later, "west", MEASURE).test_scores("run-1")


def test_a_further_run_is_refused_and_what_is_to_be_remembered_is_an_error(tmp_path: Path) -> None:
    store = CrowdStore(Shelf(tmp_path), "east", MEASURE)
    store.check_run("run-1", limit=1)
    store.save(request("train", 1, 0), reply(1), {}, {})
    store.check_run("run-1", limit=1)
    with pytest.raises(RefusedError, match="TOO_MANY_RUNS"):
        store.check_run("run-2", limit=1)
    with pytest.raises(ValueError, match="folder of its own"):
        store.save(request("train", 2, 0), reply(2), {"own": np.zeros(1)}, {})
