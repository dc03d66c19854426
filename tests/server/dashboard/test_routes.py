import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.dashboard.folders import Source
from server.run_folder import RunFolder, RunState

Ask = Callable[..., httpx.Response]
BEARER = {"Authorization": "Bearer the-token"}


@pytest.fixture
def simulated(run_folder: Path) -> Source:
    return Source(run_folder, "simulated")


@pytest.fixture
def coordinator(tmp_path: Path) -> Source:
    RunFolder(tmp_path / "runs" / "first").note(RunState("finished", "7"))
    return Source(tmp_path, "coordinator")


def test_the_page_has_its_numbers_before_any_script(ask: Ask, simulated: Source) -> None:
    answer = ask(simulated, "/runs/long")
    assert answer.status_code == 200
    assert "site-05" in answer.text
    assert "8 of 8" in answer.text
    assert "<script>" not in answer.text
    assert " style=" not in answer.text
    assert "no-store" in answer.headers["cache-control"]


def test_the_list_links_to_the_run(ask: Ask, simulated: Source) -> None:
    assert 'href="/runs/long"' in ask(simulated, "/").text
    assert ask(simulated, "/api/runs").json()["runs"][0]["state"] == "finished"


def test_the_parts_are_those_of_the_page(ask: Ask, simulated: Source) -> None:
    page, parts = ask(simulated, "/runs/long").text, ask(simulated, "/runs/long?part=true").text
    assert "<html" not in parts
    for name in ("top", "metrics", "participation", "updates", "bytes", "rounds", "comparison", "privacy"):
        assert f'data-part="{name}"' in page
        assert f'data-part="{name}"' in parts


def test_numbers_come_in_columns_and_from_a_round_on(ask: Ask, simulated: Source) -> None:
    found = ask(simulated, "/api/runs/long?metric=brier&since=7").json()
    assert (found["metric"], found["rounds"], found["done"]) == ("brier", [7, 8], 8)


@pytest.mark.parametrize("path", ["/runs/other", "/api/runs/other", "/api/runs/other/events", "/runs/..%2f..", "/docs"])
def test_what_is_not_there_is_404(ask: Ask, simulated: Source, path: str) -> None:
    assert ask(simulated, path).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_pages_are_only_read(ask: Ask, simulated: Source, method: str) -> None:
    for path in ("/", "/runs/long", "/api/runs", "/api/runs/long", "/api/runs/long/events"):
        assert ask(simulated, path, method, **BEARER).status_code in (404, 405), path


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "the-token"}])
def test_nobody_changes_a_run_without_the_token(ask: Ask, coordinator: Source, header: dict[str, str]) -> None:
    for action in ("cancel", "resume"):
        assert ask(coordinator, f"/api/runs/first/{action}", "POST", **header).status_code == 401


def test_a_token_in_the_address_is_none(ask: Ask, coordinator: Source) -> None:
    assert ask(coordinator, "/api/runs/first/cancel?token=the-token", "POST").status_code == 401


def test_a_run_that_has_ended_is_not_cancelled(ask: Ask, coordinator: Source) -> None:
    answer = ask(coordinator, "/api/runs/first/cancel", "POST", **BEARER)
    assert answer.status_code == 409
    assert "has ended already" in answer.json()["error"]


def test_a_simulated_run_says_what_to_type(ask: Ask, simulated: Source) -> None:
    answer = ask(simulated, "/api/runs/long/resume", "POST", **BEARER)
    assert answer.status_code == 409
    assert "--resume" in answer.json()["error"]


def test_there_is_no_third_action(ask: Ask, coordinator: Source) -> None:
    assert ask(coordinator, "/api/runs/first/promote", "POST", **BEARER).status_code == 404
    assert ask(coordinator, "/api/runs/other/cancel", "POST", **BEARER).status_code == 404


OPENED: list[tuple[str, str]] = []
WATCHING = [False]


def note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if WATCHING[0] and event == "open" and isinstance(arguments[0], str):
        OPENED.append((arguments[0], str(arguments[1] or "")))


def test_only_what_the_server_knows_is_read_and_nothing_is_written(ask: Ask, run_folder: Path, tmp_path: Path) -> None:
    """Site folders, generated rows and adapters are never opened, whatever page is asked for."""
    import shutil

    folder = tmp_path / "long"
    shutil.copytree(run_folder, folder)
    for name in (
        "sites/east/store.json",
        "generated/rows.csv",
        "adapter/adapter_model.safetensors",
        "checkpoint/state",
    ):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("a patient's", encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    source = Source(folder, "simulated")
    ask(source, "/runs/long")  # what is imported late is imported
    sys.addaudithook(note_opened)
    WATCHING[0] = True
    try:
        for path in ("/", "/runs/long", "/runs/long?rounds=all", "/api/runs", "/api/runs/long"):
            assert ask(source, path).status_code == 200
    finally:
        WATCHING[0] = False
    opened = {Path(path).relative_to(folder).as_posix(): mode for path, mode in OPENED if path.startswith(str(folder))}
    assert set(opened) == {"events.jsonl", "results.json", "bundle/study.json"}
    assert set(opened.values()) == {"r"}  # as the hook has it: for reading alone
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
