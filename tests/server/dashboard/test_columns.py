import json
from pathlib import Path
from typing import Any

from server.dashboard.columns import columns
from server.dashboard.reading import Reading, read_on
from server.dashboard.scores import POOLED
from server.dashboard.state import View


def view_of(folder: Path) -> View:
    return read_on(folder / "events.jsonl", Reading()).view


def lengths(content: Any) -> set[int]:
    """Return the lengths of all innermost columns."""
    if isinstance(content, str):
        return {len(content)}
    if isinstance(content, dict):
        return {n for key, each in content.items() if key not in ("rounds", "sites") for n in lengths(each)} | {
            n for each in content.get("sites", []) for n in lengths(each)
        }
    if isinstance(content, list) and content and isinstance(content[0], str | list):
        return {n for each in content for n in lengths(each)}
    return {len(content)} if isinstance(content, list) else set()


def test_every_column_has_one_place_for_each_round(run_folder: Path) -> None:
    found = columns(view_of(run_folder), None)
    assert found["rounds"] == list(range(1, 9))
    by_round = {key: found[key] for key in ("participation", "seconds", "loss", "norm", "cosine", "drift", "bytes_up")}
    assert {n for each in by_round.values() for n in lengths(each)} == {8}
    assert found["scores"]["rounds"] == list(range(9))
    assert lengths(found["scores"]["pooled"]) == {9}


def test_the_newer_rounds_alone_are_the_end_of_all(run_folder: Path) -> None:
    view = view_of(run_folder)
    whole, end = columns(view, "brier"), columns(view, "brier", since=6)
    assert end["rounds"] == [6, 7, 8]
    assert end["drift"] == whole["drift"][-3:]
    assert end["loss"]["sites"] == [column[-3:] for column in whole["loss"]["sites"]]
    assert end["participation"] == [text[-3:] for text in whole["participation"]]
    assert end["scores"]["sites"][0]["high"] == whole["scores"]["sites"][0]["high"][-3:]


def test_numbers_are_those_of_the_view(run_folder: Path) -> None:
    view = view_of(run_folder)
    found = columns(view, "f1")
    for place, number in enumerate(found["scores"]["rounds"]):
        value = view.scores[number].value(POOLED, "f1")
        assert value is not None
        assert abs(found["scores"]["pooled"]["value"][place] - value) < 1e-5


def test_an_unknown_metric_is_the_leading_one(run_folder: Path) -> None:
    view = view_of(run_folder)
    assert columns(view, "coffee")["metric"] == columns(view, None)["metric"] == "auroc"


def test_a_run_that_has_said_nothing_has_empty_columns() -> None:
    found = columns(View(), None)
    assert found["scores"] is None
    json.dumps(found, allow_nan=False)
