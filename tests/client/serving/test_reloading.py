"""A newer adapter takes over between batches: no request is lost, and each says which adapter answered it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

Make = Callable[..., Any]
PRIVATE = "peft.private=['head.*', '*lora_B*']"


def ask(client: Any, rows: list[dict[str, Any]], **more: Any) -> Any:
    answer = client.post("/v1/predict", json={"rows": rows, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def wait_until(condition: Callable[[], bool], *, patience_s: float = 30) -> None:
    """Ask again and again."""
    end = monotonic() + patience_s
    while not condition():
        assert monotonic() < end


def adapter_of(client: Any) -> str:
    return str(client.get("/v1/model").json()["adapter"])


@pytest.mark.parametrize(("override", "sites"), [((), ()), ((PRIVATE,), ("east", "west"))])
def test_a_newer_adapter_answers_and_no_request_is_lost(
    override: tuple[str, ...],
    sites: tuple[str, ...],
    make_adapter: Make,
    serve: Make,
    are_close: Make,
    rows: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    more = {"site": sites[-1]} if sites else {}
    adapter, wanted = make_adapter(*override, sites=sites), {}
    client, service = serve(adapter, look_every_s=3600)
    first = service.resident.version.digest
    wanted[first] = adapter.predicted(rows[:9], tmp_path, *sites[-1:])
    stop, answers = threading.Event(), []

    def go_on() -> None:
        while not stop.is_set():
            answers.append(ask(client, rows[:9], **more))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(go_on) for _ in range(4)]
        ask(client, rows[:1], **more)
        make_adapter(*override, seed=2, sites=sites)
        service.reload()
        wait_until(lambda: adapter_of(client) != first)
        last = ask(client, rows[:9], **more)["adapter"]
        stop.set()
        for each in asking:
            each.result()
    wanted[last] = adapter.predicted(rows[:9], tmp_path, *sites[-1:])
    assert first != last
    assert {answer["adapter"] for answer in answers} <= {first, last}
    assert all(are_close(answer["predictions"], wanted[answer["adapter"]]) for answer in answers)
    assert client.get("/v1/model").json()["digests"]["adapter"] == last


def test_an_adapter_of_another_study_is_refused_and_the_one_before_answers(
    make_adapter: Make, serve: Make, rows: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    client, service = serve(make_adapter(), look_every_s=3600)
    before = ask(client, rows[:3])
    make_adapter("peft.rank=3")
    service.reload()
    wait_until(lambda: 'reloads_total{outcome="refused"} 1.0' in client.get("/metrics").text)
    assert ask(client, rows[:3]) == before
    assert "start the service again" in caplog.text


def test_a_name_that_means_another_adapter_by_now_is_noticed(
    make_adapter: Make, serve: Make, rows: list[dict[str, Any]]
) -> None:
    client, _ = serve(make_adapter(), look_every_s=0.05)
    before = ask(client, rows[:3])["adapter"]
    make_adapter(seed=2)
    wait_until(lambda: adapter_of(client) != before)
    assert ask(client, rows[:3])["adapter"] == adapter_of(client)
