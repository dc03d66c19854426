"""The service as a process: its line, its signals, and whom it listens to."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.serving.running import check_host, read_token
from common.errors import UserError

Make = Callable[..., Any]
PROGRAM = "from common.command import main; raise SystemExit(main())"
ROOT = Path(__file__).parents[3]


@contextmanager
def running(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", PROGRAM, "serve", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert re.fullmatch(r"serving quick at http://127\.0\.0\.1:\d+\n", line), line
            yield process, line.split()[-1]
        finally:
            process.kill()


@pytest.mark.processes
def test_signals_reload_and_end_it_and_what_is_in_flight_is_answered(
    make_adapter: Make, rows: list[dict[str, Any]]
) -> None:
    adapter = make_adapter()
    words = ["--adapter", str(adapter.folder), "--base-model", str(adapter.base), "--max-batch", "1000"]
    with running(*words, "--max-wait-ms", "1000") as (process, address), httpx.Client(base_url=address) as client:
        before = client.post("/v1/predict", json={"rows": rows[:2]}).json()
        make_adapter(seed=2)
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        assert "answers" in process.stderr.readline()
        after = client.post("/v1/predict", json={"rows": rows[:2]}).json()
        assert before["adapter"] != after["adapter"] == client.get("/v1/model").json()["adapter"]
        with ThreadPoolExecutor(4) as pool:
            asked = [
                pool.submit(httpx.post, f"{address}/v1/predict", json={"rows": rows[:2]}, timeout=30) for _ in "abcd"
            ]
            while "waiting_rows 8.0" not in client.get("/metrics").text and not any(each.done() for each in asked):
                pass  # until they wait for others
            process.send_signal(signal.SIGTERM)
            answered = [answer for each in asked if (answer := finished(each)) is not None]
        assert answered
        assert all(answer.json()["predictions"] == after["predictions"] for answer in answered)
        assert process.wait(30) == 0
        log = process.stderr.read()
        assert all(str(row["note"]) not in log for row in rows)


def finished(asked: Any) -> httpx.Response | None:
    """Return the answer; None where the service had already stopped to listen."""
    try:
        answer: httpx.Response = asked.result()
    except httpx.TransportError:
        return None
    assert answer.status_code == 200, answer.text
    return answer


def test_other_machines_need_a_token(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        check_host(host, None)
    check_host("0.0.0.0", "0123456789abcdef")
    with pytest.raises(UserError, match=r"--host 0.0.0.0 lets other machines ask: give a token with --token-file"):
        check_host("0.0.0.0", None)


def test_a_token_is_one_word_of_a_certain_length(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with pytest.raises(UserError, match="cannot be read"):
        read_token(file)
    for text in ("short", "two words of some length"):
        file.write_text(text)
        with pytest.raises(UserError, match="expected one word of at least 16"):
            read_token(file)
    file.write_text("0123456789abcdef\n")
    file.chmod(0o604)
    with pytest.raises(UserError, match="can be read by every user of this machine; first: chmod 600"):
        read_token(file)
    file.chmod(0o600)
    assert read_token(file) == "0123456789abcdef"


def test_metrics_are_those_of_prometheus(make_adapter: Make, serve: Make) -> None:
    client, _ = serve(make_adapter())
    assert client.get("/metrics").headers["content-type"].startswith("text/plain; version=")
    assert json.loads(client.get("/openapi.json").text)["info"]["title"] == "fedpeft serve: quick"
