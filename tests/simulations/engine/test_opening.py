"""Whether and how a run's clients are grouped: decided once, kept in the folder, and the same when it is resumed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.errors import CheckpointError
from simulations.engine import opening, room, threads
from simulations.engine.opening import UNDECIDED, Decision, decide, decided, open_engine, read_decision
from simulations.engine.plan import ONE_BY_ONE, Shape, Wanted
from simulations.virtual import VirtualSites

Open = Callable[..., VirtualSites]


def decide_for(sites: VirtualSites, wanted: Wanted) -> Decision:
    return decide(sites.bundle.study, sites.bench, sites.execution, sites.rows, wanted)


def test_one_client_by_one_needs_no_trial(open_run: Open) -> None:
    assert decide_for(open_run(), Wanted(clients=1)) == UNDECIDED
    assert open_engine(open_run().bench, open_run().execution, UNDECIDED) is None


def test_what_is_asked_for_is_what_is_done(open_run: Open) -> None:
    sites = open_run()
    found = decide_for(sites, Wanted(workers=3, clients=7))
    assert found == Decision(Shape(3, 7), packs=True)
    engine = open_engine(sites.bench, sites.execution, found)
    assert engine is not None
    assert (engine.shape, engine.packs) == (found.shape, True)


def test_what_suits_is_one_worker_where_one_group_holds_all_and_python_is_most_of_it(open_run: Open) -> None:
    """Two narrow blocks."""
    found = decide_for(open_run(), Wanted())
    assert found.shape.workers == 1
    assert found.shape.clients >= 2


@pytest.mark.parametrize("cores", [1, 2, 6])
def test_what_suits_is_as_many_workers_as_there_are_cores(
    cores: int, open_run: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where products take longer, or where there are more clients than one group takes; on a GPU one in any case."""
    monkeypatch.setattr(opening, "usable_cores", lambda: cores)
    sites = open_run()
    assert decide_for(sites, Wanted(clients=2)).shape == Shape(cores, 2)
    assert decide_for(sites, Wanted(clients=3)).shape == Shape(1, 3)
    assert decide_for(sites, Wanted(clients=3, apart=True)).shape == Shape(cores, 3)
    monkeypatch.setattr(threads, "PAYING_FLOPS", 1.0)
    assert decide_for(sites, Wanted()).shape.workers == cores
    two_each = replace(sites.execution, threads=2)
    about = (sites.bundle.study, sites.bench, two_each, sites.rows)
    assert decide(*about, Wanted()).shape.workers == max(1, cores // 2)


@pytest.mark.parametrize("free", [0, 2**23, 2**60])
def test_groups_are_as_large_as_memory_allows(free: int, open_run: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    sites = open_run()
    sizes = []
    monkeypatch.setattr(opening, "step_bytes", lambda *_: sizes.append(room.step_bytes(*_)) or sizes[-1])
    monkeypatch.setattr(opening, "free_bytes", lambda _: free)
    found = decide_for(sites, Wanted(workers=2))
    batch_size = sites.bundle.study.training.batch_size
    fill = room.clients_that_fill(sites.rows, batch_size, sites.execution)
    fit = max(1, free // (2 * 2 * batch_size * (sizes[0] // opening.MEASURED_ROWS)))
    assert found.shape.clients == min(max(2, fill), fit)
    assert (found.obstacle is None) == (fit > 1)


OBSTACLES = {"peft={method='adalora'}": "prunes ranks", "peft={method='lora', dora=true}": "has not the rows"}


@pytest.mark.parametrize("override", OBSTACLES)
def test_an_obstacle_is_kept_with_the_decision(override: str, open_run: Open) -> None:
    found = decide_for(open_run(override), Wanted(clients=4))
    assert OBSTACLES[override] in (found.obstacle or "")
    assert (found.shape, found.packs) == (ONE_BY_ONE, False)
    assert open_run(override).engine is None


def test_a_decision_is_written_once_and_then_read(open_run: Open, tmp_path: Path) -> None:
    sites, path = open_run(), tmp_path / "engine.json"
    about = (sites.bundle.study, sites.bench, sites.execution, sites.rows)
    first = decided(path, *about, Wanted(workers=2, clients=3))
    assert decided(path, *about, Wanted(workers=1, clients=1)) == first == read_decision(path)
    assert first.shape == Shape(2, 3)


@pytest.mark.parametrize("decision", [UNDECIDED, Decision(Shape(2, 8), True), Decision(obstacle="something")])
def test_a_decision_comes_back_as_it_was_written(decision: Decision, tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text(json.dumps(decision.to_json()))
    assert read_decision(path) == decision


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"shape": 3}', '{"shape": {"workers": 1, "more": 2}}'])
def test_a_damaged_decision_loses_the_run_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match="cannot be read") as raised:
        read_decision(path)
    assert "\n" not in str(raised.value)


def test_a_run_that_was_opened_has_its_decision_in_its_folder(open_run: Open) -> None:
    sites: Any = open_run()
    assert sites.decision == read_decision(sites.folder.engine)
    assert (sites.engine is None) == (sites.decision.shape.clients == 1)
