import json
from pathlib import Path

from server.events import from_json
from simulations.bench.long_run import write_run


def test_every_line_is_an_event_and_the_results_have_every_round(tmp_path: Path) -> None:
    write_run(tmp_path, rounds=3, sites=2)
    events = [from_json(json.loads(line)) for line in (tmp_path / "events.jsonl").read_bytes().splitlines()]
    assert len(events) == 1 + 3 * (1 + 2 + 1) + 1
    results = json.loads((tmp_path / "results.json").read_bytes())
    assert [each["round"] for each in results["rounds"]] == [1, 2, 3]


def test_a_run_under_way_has_no_results(tmp_path: Path) -> None:
    write_run(tmp_path, rounds=1, sites=2, finished=False)
    assert not (tmp_path / "results.json").exists()
