"""What is refused as an address, and how long a server is waited for; the rest is played against a real server."""

import socket
from pathlib import Path
from time import monotonic

import pytest

from common.errors import UserError
from server.tracking.destination import destination
from server.tracking.keeping_up import KeepingUp


@pytest.mark.parametrize(
    "address", ["127.0.0.1:5000", "ftp://a", "databricks", "http://", "http://[", "sqlite:///a.db"]
)
def test_what_is_no_server_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(UserError, match="expected the address of an MLflow server"):
        destination(f"mlflow={address}", base=tmp_path)


@pytest.mark.parametrize("address", ["http://me:hunter2@a:1", "http://me@a", "https://a/?token=hunter2"])
def test_a_secret_in_the_address_is_refused_and_not_repeated(tmp_path: Path, address: str) -> None:
    with pytest.raises(UserError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        destination(f"mlflow={address}", base=tmp_path)
    assert "hunter2" not in str(caught.value)


def test_nobody_there_is_no_connection(own_run: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    keeping = KeepingUp(own_run, destination(f"mlflow=http://127.0.0.1:{port}", base=own_run))
    assert not keeping.advance(is_over=True)
    assert keeping.behind() == "mlflow has nothing (no connection to the server)"


def test_a_server_that_says_nothing_is_given_up(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        keeping = KeepingUp(own_run, destination(f"mlflow=http://127.0.0.1:{deaf.getsockname()[1]}", base=own_run))
        begin = monotonic()
        assert not keeping.advance(is_over=True)
    assert monotonic() - begin < 10
    assert keeping.behind() == "mlflow has nothing (the server does not answer in time)"
