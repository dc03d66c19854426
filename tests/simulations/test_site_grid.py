"""Whole runs whose sites are trained in groups: those of runs one by one, but for how sums are rounded."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from common import wire
from common.errors import CheckpointError
from common.protocol import Reply, Request, RoundPlan
from server.events import Event, SiteAnswered
from simulations.engine import opening
from simulations.engine.engine import Engine
from simulations.engine.plan import Shape
from simulations.inprocess import task_identity
from simulations.results import Results
from simulations.run import run
from simulations.site_grid import site_grid
from simulations.virtual import VirtualSites

FAST = ("training.local_epochs=1", "evaluation.resamples=10", "federation.rounds=2", "training.precision=fp32")
SEVEN = "simulation={data='builtin:quick', partition={name='iid', sites=7}%s}"
STUDIES: dict[str, tuple[tuple[str, ...], int]] = {
    "three sites": ((), 8),
    "more sites than fit": ((SEVEN % "",), 2),
    "a private head": (("peft.private=['head.*']",), 8),
    "prefixes and FedProx": (
        ("peft={method='prefix', virtual_tokens=3}", "aggregation.name='fedprox'", "aggregation.proximal_mu=0.5"),
        8,
    ),
    "a sign-flipping site": ((SEVEN % ", attack={name='sign-flip', sites=['site-2']}",), 3),
    "a site that sends NaN": ((SEVEN % ", attack={name='nan', sites=['site-2']}",), 3),
}
TIMED = ("seconds", "bytes")


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Results]:
    def start(*overrides: str, out: Path | None = None, **options: Any) -> Results:
        folder = out or tmp_path_factory.mktemp("run") / "out"
        return run("quick", out=folder, overrides=[*FAST, *overrides], comparison=False, **options)

    return start


def adapter(results: Results) -> bytes:
    return (results.adapter / "adapter.safetensors").read_bytes()


def figures(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every figure of results.json with its path, but those that depend on the clock or on the command."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if not key.startswith(TIMED):
                yield from figures(each, f"{path}.{key}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from figures(each, f"{path}.{number}")
    else:
        yield path, value


PARTS = ("study", "initial", "parameters", "rounds", "test")


@pytest.mark.parametrize("name", STUDIES)
def test_a_run_in_groups_is_the_run_one_by_one(name: str, play: Callable[..., Results]) -> None:
    overrides, size = STUDIES[name]
    together, alone = play(*overrides, group_size=size), play(*overrides, group_size=1)
    one, other = load_file(together.adapter / "adapter.safetensors"), load_file(alone.adapter / "adapter.safetensors")
    assert adapter(together) != adapter(alone)  # so the one was in groups, and the other was not
    for tensor, array in one.items():
        np.testing.assert_allclose(array, other[tensor], rtol=1e-4, atol=1e-5)
    rounds = together.content["rounds"], alone.content["rounds"]
    for site, train in rounds[0][0]["train"]["sites"].items():
        expected = rounds[1][0]["train"]["sites"][site]
        assert train["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert train["steps"] == expected["steps"]
    found = dict(figures({part: together.content.get(part) for part in PARTS}))
    wanted = dict(figures({part: alone.content.get(part) for part in PARTS}))
    assert found.keys() == wanted.keys()
    for path, value in wanted.items():
        if isinstance(value, float) and ".metrics." not in path and ".validation." not in path:
            assert found[path] == pytest.approx(value, rel=1e-3, abs=1e-4), path
        elif not isinstance(value, float):
            assert found[path] == value, path


def interrupt_after(count: int) -> Callable[[Event], None]:
    """Press Ctrl-C when so many sites have answered."""
    answered = 0

    def progress(event: Event) -> None:
        nonlocal answered
        answered += isinstance(event, SiteAnswered)
        if answered == count:
            raise KeyboardInterrupt

    return progress


def test_with_little_memory_groups_are_small(play: Callable[..., Results], monkeypatch: pytest.MonkeyPatch) -> None:
    """And the run is the one that was asked for with groups of that size."""
    expected = adapter(play(SEVEN % "", group_size=2))
    monkeypatch.setattr(opening, "clients_that_fit", lambda *_, **__: 2)
    found = play(SEVEN % "")
    assert json.loads((found.adapter.parent / "engine.json").read_text())["shape"]["clients"] == 2
    assert adapter(found) == expected


SEVEN_PRIVATE = (SEVEN % "", "peft.private=['head.*']")


@pytest.fixture(scope="module")
def whole(play: Callable[..., Results]) -> bytes:
    """The adapter of a run that nobody disturbed."""
    return adapter(play(*SEVEN_PRIVATE, group_size=3))


@pytest.mark.parametrize("count", [1, 4, 9])
def test_a_run_that_is_interrupted_in_a_round_ends_with_the_same_bytes(
    count: int, whole: bytes, play: Callable[..., Results], tmp_path: Path
) -> None:
    """Sites that have answered are in their groups again, though nobody asks for what comes of it."""
    options = {"out": tmp_path / "run", "group_size": 3}
    with pytest.raises(KeyboardInterrupt):
        play(*SEVEN_PRIVATE, progress=interrupt_after(count), **options)
    assert adapter(play(*SEVEN_PRIVATE, resume=True, **options)) == whole


DAMAGES: dict[str, tuple[tuple[str, ...], int]] = {"answer": ((), 4), "private": (("peft.private=['head.*']",), 3)}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_site_whose_disk_is_damaged_fails_alone(what: str, play: Callable[..., Results], tmp_path: Path) -> None:
    """Where its answer of this round cannot be read, or its private tensors of the one before."""
    overrides, count = DAMAGES[what]
    options: dict[str, Any] = {"out": tmp_path / "run", "group_size": 3}
    with pytest.raises(KeyboardInterrupt):
        play(*overrides, progress=interrupt_after(count), **options)
    stored = max((tmp_path / "run" / "sites").glob("*/runs/*/train-*"), key=lambda path: path.stat().st_mtime_ns)
    stored.write_bytes(stored.read_bytes()[:100])
    told: dict[str, str] = {}

    def progress(event: Event) -> None:
        if isinstance(event, SiteAnswered) and event.round == 2:
            told.setdefault(event.site, event.status)

    with suppress(CheckpointError):  # at the end, when private tensors are collected
        play(*overrides, resume=True, progress=progress, **options)
    site = stored.parents[2].name
    assert told == {each: "failed" if each == site else "accepted" for each in ("east", "north", "west")}


def test_sites_are_handled_longest_first_and_a_message_that_comes_again_trains_nothing(
    open_run: Callable[..., VirtualSites],
) -> None:
    sites, names = open_run(), ("east", "north", "west")
    engine = Engine(sites.bench, sites.execution, Shape(workers=1, clients=2), packs=True)
    bundle, groups = sites.bundle, []
    submit = engine.submit
    engine.submit = lambda work: groups.append(work) or submit(work)  # type: ignore[method-assign,func-returns-value]
    request = Request(
        "train", "twice", 1, 0, bundle.study.digest, bundle.schema.digest, RoundPlan(), ("validation",), bundle.initial
    )

    def asked(grid: Any) -> dict[int, Any]:
        adapter = wire.pack_adapter(request.shared, bundle.schema)
        content = wire.encode_request(request, adapter)
        sent = [wire.message(content, kind="train", node=node, round_number=1) for node in grid.get_node_ids()]
        found = {}
        for reply in grid.send_and_receive(sent):
            answer = wire.decode_answer(reply.content, bundle.schema, measure=sites.bench.task.measure)
            assert isinstance(answer, Reply)
            found[reply.metadata.src_node_id] = {name: array.tobytes() for name, array in answer.update.items()}
        return found

    try:
        with task_identity():
            grid = site_grid(sites, names, engine=engine)
            first = asked(grid)
            assert len(groups) == 2
            longest_first = sorted(names, key=lambda site: -len(sites.rows[site].train))
            assert [names[node - min(first)] for node in first] == longest_first
            assert asked(grid) == first
            assert len(groups) == 2
    finally:
        engine.close()


def test_how_sites_were_grouped_is_told(play: Callable[..., Results]) -> None:
    grouped, alone = play(group_size=2), play(group_size=1)
    assert json.loads((grouped.adapter.parent / "engine.json").read_text())["shape"]["clients"] == 2
    assert grouped.content["execution"]["group_size"] == 2
    assert grouped.content["execution"]["packed"] is True
    assert alone.content["execution"]["group_size"] == 1
