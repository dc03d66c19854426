"""A coordinator's figures: as Prometheus' own parser reads them, those of the results, and never too many."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from common.errors import UserError
from server.metrics.collector import NEWEST, CoordinatorCollector
from server.run_folder import RunFolder, RunState

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(registry: CollectorRegistry) -> Series:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(found: Series, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


@pytest.fixture
def coordinator(tracked_run: Path, tmp_path: Path) -> Path:
    """A coordinator's folder with one finished run."""
    run = tmp_path / "runs" / "quick-1"
    run.mkdir(parents=True)
    for name in ("events.jsonl", "results.json"):
        shutil.copy(tracked_run / name, run / name)
    RunFolder(run).note(RunState("finished", "1"))
    return tmp_path


def registry(coordinator: Path, sites: Callable[[], Mapping[str, str | None]]) -> CollectorRegistry:
    made = CollectorRegistry(auto_describe=False)
    made.register(CoordinatorCollector(coordinator, sites, lambda: 397.0))
    return made


def away() -> Mapping[str, str | None]:
    raise UserError("the SuperLink does not say which sites it knows")


def test_the_figures_are_those_of_the_results(coordinator: Path) -> None:
    found = scrape(registry(coordinator, lambda: {"east": "online", "north": "offline", "west": None}))
    results = json.loads((coordinator / "runs" / "quick-1" / "results.json").read_text())
    rounds = results["rounds"]
    assert value(found, "fedpeft_run_state", run="quick-1", state="finished") == 1
    assert value(found, "fedpeft_run_state", run="quick-1", state="running") == 0
    assert value(found, "fedpeft_run_round", run="quick-1") == len(rounds) == 2
    assert value(found, "fedpeft_round_seconds", run="quick-1") == pytest.approx(rounds[-1]["seconds"]["total"])
    closing = results["closing"]["participation"]
    for site in ("east", "north", "west"):
        sent = sum(r["participation"][site]["bytes_up"] for r in rounds) + closing[site]["bytes_up"]
        assert value(found, "fedpeft_received_bytes_total", run="quick-1", site=site) == sent
        assert value(found, "fedpeft_replies_total", run="quick-1", site=site, status="accepted") == 3
    last = rounds[-1]["validation"]["pooled"]["log_loss"]["value"]
    assert value(found, "fedpeft_validation", run="quick-1", metric="log_loss") == last
    assert [value(found, "fedpeft_site_online", site=s) for s in ("east", "north", "west")] == [1, 0, 0]
    assert value(found, "fedpeft_superlink_up") == 1
    assert value(found, "fedpeft_certificate_days_left") == 397


def test_looking_twice_counts_nothing_twice(coordinator: Path) -> None:
    made = registry(coordinator, dict)
    assert scrape(made) == scrape(made)


def test_a_superlink_that_is_down_and_a_damaged_run_leave_the_rest(coordinator: Path) -> None:
    shutil.copytree(coordinator / "runs" / "quick-1", coordinator / "runs" / "spoiled")
    (coordinator / "runs" / "spoiled" / "state.json").write_text("{")
    found = scrape(registry(coordinator, away))
    assert value(found, "fedpeft_superlink_up") == 0
    assert value(found, "fedpeft_runs_unreadable") == 1
    assert value(found, "fedpeft_run_round", run="quick-1") == 2
    assert ("fedpeft_run_round", (("run", "spoiled"),)) not in found


def test_only_the_newest_runs_have_series(coordinator: Path) -> None:
    made = registry(coordinator, dict)
    scrape(made)
    for number in range(NEWEST + 5):
        run = RunFolder(coordinator / "runs" / f"later-{number}")
        run.path.mkdir()
        run.note(RunState("submitted", ""))
    found = scrape(made)
    named = {dict(labels)["run"] for _, labels in found if "run" in dict(labels)}
    assert len(named) == NEWEST
    assert "quick-1" not in named


def test_a_run_that_goes_on_counts_its_repeated_round_once(coordinator: Path) -> None:
    events = coordinator / "runs" / "quick-1" / "events.jsonl"
    before = scrape(registry(coordinator, dict))
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    done = next(line for line in lines if line["event"] == "round_finished" and line["round"] == 2)
    again = {**lines[0], "round": 2, "finished": {k: v for k, v in done.items() if k not in ("time", "event")}}
    events.write_text(events.read_text() + json.dumps(again) + "\n")
    assert scrape(registry(coordinator, dict)) == before
