"""Figures of events and results: those of `results.json`, each once, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.events import RunStarted, from_json
from server.trackers import Batch, Point
from server.tracking.points import batches, results_points, round_points, validation_points


def events(run: Path) -> list[tuple[int, Any]]:
    lines = (run / "events.jsonl").read_text().splitlines()
    return [(number, from_json(json.loads(line))) for number, line in enumerate(lines)]


def results(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "results.json").read_text())
    return found


def by_key(found: list[Batch]) -> dict[tuple[int, str | None, str], Point]:
    points = [point for batch in found for point in batch.points]
    table = {point.key: point for point in points}
    assert len(table) == len(points)  # none twice
    return table


def test_validation_is_that_of_the_results_at_the_round_whose_adapter_it_is_of(tracked_run: Path) -> None:
    found, content = by_key(list(batches(events(tracked_run)))), results(tracked_run)
    for number, validation in enumerate(
        [content["initial"]["validation"], *[r["validation"] for r in content["rounds"]]]
    ):
        for site, metrics in [(None, validation["pooled"]), *validation["sites"].items()]:
            for name, metric in metrics.items():
                if metric["value"] is None:
                    assert (number, site, f"validation/{name}") not in found
                    continue
                point = found[number, site, f"validation/{name}"]
                assert (point.value, point.low, point.high, point.n) == tuple(
                    metric[key] for key in ("value", "low", "high", "n")
                )


def test_training_bytes_norms_and_seconds_are_those_of_the_results(tracked_run: Path) -> None:
    found = by_key(list(batches(events(tracked_run))))
    for record in results(tracked_run)["rounds"]:
        number = record["round"]
        for name, value in record["seconds"].items():
            assert value is None or found[number, None, f"seconds/{name}"].value == value
        for site, values in record["train"]["sites"].items():
            assert found[number, site, "train/loss"].value == values["loss"]
            assert found[number, site, "participation/bytes_up"].value == record["participation"][site]["bytes_up"]
            assert found[number, site, "participation/accepted"].value == 1
            assert found[number, site, "diagnostics/update_norms"].value == record["diagnostics"]["update_norms"][site]
        assert found[number, None, "diagnostics/drift"].value == record["diagnostics"]["drift"]
        total = sum(share["bytes_up"] for share in record["participation"].values())
        assert found[number, None, "participation/bytes_up"].value == total


def test_a_round_that_a_resumed_run_tells_again_is_the_same_batch(tracked_run: Path) -> None:
    told = events(tracked_run)
    time, done = next((t, e) for t, e in told if getattr(e, "record", {}).get("round") == 1)
    again = (time, RunStarted("r", ("east",), 1, 2, done))
    assert list(batches([again])) == list(batches([(time, done)]))


def test_what_is_absent_or_a_word_is_no_figure() -> None:
    record = {
        "round": 3,
        "seconds": {"total": 1, "train": None},
        "participation": {
            "a": {"status": "refused", "examples": None, "bytes_up": 7, "bytes_down": 5, "reason": "POLICY"},
            "b": None,
        },
        "train": {"mean": {}, "sites": {}},
        "diagnostics": {"drift": None, "reasons": {"drift": "one site"}, "cosines": {"a": float("nan")}},
    }
    assert {(p.site, p.name, p.value) for p in round_points(record)} == {
        (None, "seconds/total", 1.0),
        ("a", "participation/accepted", 0.0),
        ("a", "participation/bytes_up", 7.0),
        ("a", "participation/bytes_down", 5.0),
        (None, "participation/asked", 1.0),
        (None, "participation/accepted", 0.0),
        (None, "participation/examples", 0.0),
        (None, "participation/bytes_up", 7.0),
        (None, "participation/bytes_down", 5.0),
    }
    assert list(validation_points(1, None)) == []


def test_test_rows_are_tracked_at_the_kept_round(tracked_run: Path) -> None:
    content = results(tracked_run)
    content["comparison"] = {
        "federated": {"sites": {"a": {"auroc": {"value": 0.5, "low": None, "high": 0.75, "n": 4}}}, "pooled": {}},
        "benefit": {"a": {"value": 1.0}},
        "central": None,
    }
    found = list(results_points(content))
    assert found == [Point(2, "a", "test/federated/auroc", 0.5, None, 0.75, 4)]
    assert list(results_points({**content, "comparison": None})) == []


@pytest.mark.parametrize("word", ["/", "note", "clinic"])
def test_no_figure_is_named_by_anything_of_a_patient_or_a_place(tracked_run: Path, word: str) -> None:
    names = {point.name for batch in batches(events(tracked_run)) for point in batch.points}
    assert all(name.count("/") == 1 for name in names) if word == "/" else not any(word in name for name in names)
