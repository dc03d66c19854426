import os
import signal
import threading
from pathlib import Path

import httpx
import pytest

from common.command import main
from server.run_folder import RunFolder, RunState


def test_a_folder_of_simulated_runs_is_no_coordinators(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["server", "dashboard", str(tmp_path)]) == 2
    assert f"fedpeft dashboard {tmp_path}" in capsys.readouterr().err


def test_it_serves_until_a_signal_and_the_token_is_in_its_file_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "server.toml").touch()
    RunFolder(tmp_path / "runs" / "first").note(RunState("finished", "7"))
    file, port = tmp_path / "token", free_port()
    answers: list[int] = []

    def ask_and_end() -> None:
        try:
            answers.append(httpx.get(f"http://127.0.0.1:{port}/runs/first", timeout=20).status_code)
            header = {"Authorization": f"Bearer {file.read_text().strip()}"}
            answers.append(httpx.post(f"http://127.0.0.1:{port}/api/runs/first/cancel", headers=header).status_code)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=_when_it_listens, args=(port, ask_and_end)).start()
    with pytest.raises(SystemExit) as end:
        main(["server", "dashboard", str(tmp_path), "--port", str(port), "--token-file", str(file)])
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert answers == [200, 409]
    assert said.splitlines()[0] == f"dashboard: http://127.0.0.1:{port}"
    assert file.read_text().strip() not in said


def free_port() -> int:
    from common.loopback import free_ports

    return free_ports(1)[0]


def _when_it_listens(port: int, then: "object") -> None:
    for _ in range(200):
        try:
            httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
        except httpx.ConnectError:
            threading.Event().wait(0.05)
            continue
        break
    assert callable(then)
    then()
