"""`fedpeft site dashboard` as a shell sees it: what is refused before anything listens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.dashboard.serving import token_for
from common.command import main
from common.errors import UserError

Make = Callable[..., Any]


def call(*arguments: str | Path) -> int:
    try:
        return main(["site", "dashboard", *map(str, arguments)])
    except SystemExit as ended:
        return int(ended.code or 0)


def test_what_is_no_site_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path) == 2
    said = capsys.readouterr().err
    assert "is no site" in said
    assert said.count("\n") == 1


def test_another_host_needs_a_token_file(make_site: Make, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(make_site().folder.path, "--host", "0.0.0.0") == 2
    said = capsys.readouterr().err
    assert "--token-file" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_the_loopback_needs_none_and_takes_one(host: str, tmp_path: Path) -> None:
    assert token_for(host, None) is None
    assert token_for(host, tmp_path / "token") is not None
    for other in ("", "192.0.2.7", "::"):
        with pytest.raises(UserError):
            token_for(other, None)
