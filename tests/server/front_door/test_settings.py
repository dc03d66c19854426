import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from server.front_door.settings import DoorSettings, Polling, read_settings


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    for name in ("door.pem", "door.key", "link-ca.crt"):
        (tmp_path / name).write_text("PEM")
    upstream = {"upstream": "https://127.0.0.1:9092", "upstream_ca": "link-ca.crt"}
    return {"port": 8443, "certfile": "door.pem", "keyfile": "door.key", **upstream}


def write(folder: Path, content: Any) -> Path:
    path = folder / "door.json"
    path.write_text(json.dumps(content))
    return path


def test_paths_count_from_the_file(tmp_path: Path, content: dict[str, Any]) -> None:
    read = read_settings(write(tmp_path, content))
    assert (read.certfile, read.keyfile) == (tmp_path / "door.pem", tmp_path / "door.key")
    assert DoorSettings.model_validate_json(read.model_dump_json()) == read


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"certfile": None}, "a door needs certfile and keyfile"),
        ({"role": "holder", "host": "0.0.0.0"}, "must be a loopback address"),
        ({"role": "holder", "host": "example.org"}, "must be a loopback address"),
        ({"upstream": "http://127.0.0.1:9092"}, "upstream: expected https://HOST:PORT"),
        ({"upstream": "https://127.0.0.1:9092/v1"}, "upstream: expected https://HOST:PORT"),
        ({"upstream": "https://me:word@127.0.0.1"}, "upstream: expected https://HOST:PORT"),
        ({"upstream_ca": "nowhere.crt"}, "there is no such file"),
        ({"limits": {"body_bytes": 0}}, "limits.body_bytes"),
        ({"polling": {"hold_s": 30}}, "polling.hold_s"),
        ({"limits": {"burts": 1}}, "did you mean 'burst'"),
        ({"limits": {"bytes_per_peer": 2**20}}, "bytes_per_peer must be at least body_bytes"),
        ({"port": 70000}, "port: "),
    ],
)
def test_a_mistake_is_said_in_words(
    tmp_path: Path, content: dict[str, Any], change: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UserError) as caught:
        read_settings(write(tmp_path, {**content, **change}))
    assert expected in str(caught.value)


def test_what_is_not_json_is_said(tmp_path: Path) -> None:
    (tmp_path / "door.json").write_text("port = 1")
    with pytest.raises(UserError, match="is not JSON"):
        read_settings(tmp_path / "door.json")


@pytest.mark.parametrize("waiting", [1, 2, 3, 10, 59])
def test_all_sites_together_ask_no_faster_than_said(waiting: int) -> None:
    polling = Polling()
    for quiet_s in (0.0, 1e9):
        interval = polling.interval(waiting, quiet_s=quiet_s)
        assert waiting / interval <= polling.upstream_per_s + 1e-9
        assert interval <= polling.interval(waiting + 1, quiet_s=quiet_s)
