"""Runs of `cross-device`, of which a round samples a few of many clients, over a smaller number of practices."""

import gc
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from safetensors import safe_open

from client.scoring import score
from client.trainer import Trainer
from common.protocol import Reply, Request
from common.registry import run_folder
from server.aggregation import ClientUpdate
from server.closing import Outcome
from server.events import Event, RoundFinished, RoundStarted, RunStarted, SiteAnswered
from simulations import virtual
from simulations.builtin_rows.cross_device import write
from simulations.crowd.disks import MANY
from simulations.crowd.journal import lines
from simulations.recalibrated import _validation_scores
from simulations.results import Results
from simulations.run import run

PRACTICES, COHORT, ROUNDS = 40, 8, 3


def play(
    out: Path,
    *overrides: str,
    look: Callable[[Event], None] = lambda _: None,
    resume: bool = False,
    practices: int = PRACTICES,
) -> Results:
    rows = write(out.parent, practices)
    small = [f"simulation.data={rows}", f"federation.fraction={COHORT / practices}", f"federation.rounds={ROUNDS}"]
    return run("cross-device", out=out, overrides=[*small, *overrides], resume=resume, progress=look)


def timeless(content: Any) -> Any:
    """Return what a run says, without what a clock says, and without what names the run or its command."""
    if isinstance(content, dict):
        gone = {
            "seconds",
            "simulation",
            "seconds_train",
            "seconds_evaluate",
            "run",
            "command",
            "receipts",
            "bytes_up",
            "bytes",
        }
        return {key: timeless(value) for key, value in content.items() if key not in gone}
    return [timeless(value) for value in content] if isinstance(content, list) else content


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return play(tmp_path_factory.mktemp("whole") / "out")


def adapter(results: Results) -> bytes:
    return (results.adapter / "adapter.safetensors").read_bytes()


def test_each_round_samples_other_clients_and_all_are_scored_at_the_end(whole: Results) -> None:
    cohorts = [set(each["participation"]) for each in whole.content["rounds"]]
    assert [len(cohort) for cohort in cohorts] == [COHORT] * ROUNDS
    assert len(set.union(*cohorts)) > COHORT
    assert all(each["status"] == "accepted" for r in whole.content["rounds"] for each in r["participation"].values())
    assert len(whole.content["closing"]["participation"]) == PRACTICES


def test_the_study_trains_no_rivals_unless_it_is_told_to(whole: Results, tmp_path: Path) -> None:
    assert whole.content["comparison"] is None
    assert "--no-comparison" not in whole.content["command"]  # the study says so itself
    told = play(tmp_path / "out", "federation.rounds=1", "simulation.comparison=true")
    assert len(told.content["comparison"]["local"]["sites"]) == PRACTICES


@pytest.mark.parametrize("at", ["amid a round", "after a round"])
def test_a_run_that_is_killed_and_resumed_is_as_one_that_was_not(at: str, whole: Results, tmp_path: Path) -> None:
    answered = 0

    def stop(event: Event) -> None:
        nonlocal answered
        answered += isinstance(event, SiteAnswered) and event.round == 2
        if (answered == COHORT // 2) if at == "amid a round" else (isinstance(event, RoundFinished)):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(tmp_path / "out", look=stop)
    resumed = play(tmp_path / "out", resume=True)
    assert adapter(resumed) == adapter(whole)
    assert timeless(resumed.content) == timeless(whole.content)


def test_what_is_in_memory_does_not_grow_with_clients_or_rounds(tmp_path: Path) -> None:
    """Counted when a round begins: nothing is left of what earlier clients were sent, nor of what came."""
    alive: list[int] = []

    def count(event: Event) -> None:
        if isinstance(event, RoundStarted):
            gc.collect()
            kinds = (Trainer, Request, Reply, ClientUpdate)
            alive.append(sum(type(each) in kinds for each in gc.get_objects()))

    play(tmp_path / "out", look=count)
    assert len(alive) == ROUNDS + 1
    assert max(alive) == alive[0]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return play(tmp_path_factory.mktemp("crowd") / "out", practices=MANY)


def test_a_crowd_has_one_disk_and_a_journal_of_every_site(crowd: Results) -> None:
    assert not (crowd.folder / "sites").exists()
    receipts = crowd.content["receipts"]
    asked = [site for r in crowd.content["rounds"] for site in r["participation"]]
    assert {site: each["count"] for site, each in receipts["sites"].items()} == Counter(
        [*asked, *crowd.content["closing"]["participation"]]
    )
    assert receipts["count"] == ROUNDS * COHORT + MANY
    found = run_folder.read(run_folder.find(crowd.folder)).receipts
    assert found is not None
    assert (found.log, found.count) == ("journals", receipts["count"])
    assert len(list(crowd.folder.glob("crowd/*/*/train-*"))) == 2


@pytest.mark.parametrize("torn", [False, True])
def test_a_crowd_that_is_killed_and_resumed_is_as_one_that_was_not(torn: bool, crowd: Results, tmp_path: Path) -> None:
    """Some answers are found on the disk of the process that was killed; one that was being written is made again."""
    answered = Counter[int]()

    def stop(event: Event) -> None:
        if isinstance(event, SiteAnswered):
            answered[event.round] += 1
            if event.round == 2 and answered[2] == COHORT // 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(tmp_path / "out", look=stop, practices=MANY)
    (file,) = (tmp_path / "out" / "crowd").glob("*/*/train-000002.records")
    if torn:
        file.write_bytes(file.read_bytes()[:-5])
    virtual._opened.cache_clear()  # as another process
    resumed = play(tmp_path / "out", practices=MANY, resume=True)
    assert adapter(resumed) == adapter(crowd)
    assert timeless(resumed.content) == timeless(crowd.content)
    again = [json.loads(line)["decision"] for _, line in lines(tmp_path / "out" / "crowd")].count("repeated")
    assert again == COHORT // 2 - torn


def test_a_run_that_has_a_folder_for_each_site_goes_on_so_and_comes_to_the_same(crowd: Results, tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, RunStarted):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(tmp_path / "out", look=stop, practices=MANY)
    facts = tmp_path / "out" / "run.json"
    content = json.loads(facts.read_text())
    assert content.pop("crowd") is True
    facts.write_text(json.dumps(content))
    resumed = play(tmp_path / "out", practices=MANY, resume=True)
    assert len(list((tmp_path / "out" / "sites").glob("*/journal.jsonl"))) == MANY
    assert adapter(resumed) == adapter(crowd)
    assert timeless(resumed.content) == timeless(crowd.content)


def test_the_rows_of_a_crowd_are_scored_at_once_as_each_site_s_alone(crowd: Results) -> None:
    sites = virtual.resident_sites(str(crowd.folder))
    with safe_open(crowd.adapter / "adapter.safetensors", framework="numpy") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # not a dict
    outcome = SimpleNamespace(adapter=state, test=dict.fromkeys(sorted(sites.rows, reverse=True)))
    found = dict(_validation_scores(sites, cast("Outcome", outcome)))
    assert list(found) == sorted(sites.rows)
    sites.bench.write(state)
    for site in sorted(sites.rows)[::20]:
        alone = score(sites.bench, sites.rows[site].validation.examples, execution=sites.execution)
        np.testing.assert_allclose(found[site], alone, atol=1e-6)
