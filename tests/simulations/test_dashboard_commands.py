from pathlib import Path

import pytest

from common.command import main
from common.web.running import listen


def test_a_folder_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", str(tmp_path / "nothing")]) == 2
    assert "is no folder" in capsys.readouterr().err


def test_a_taken_port_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert main(["dashboard", str(tmp_path), "--port", str(port)]) == 2
    assert f"port {port}" in capsys.readouterr().err


def test_a_simulation_does_not_begin_where_its_dashboard_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        options = ["--out", str(tmp_path / "out"), "--dashboard", "--dashboard-port", str(port)]
        assert main(["simulate", "quick", *options]) == 2
    assert f"port {port}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
