"""`fedpeft site start|stop|status|units` as a shell sees them, of a site that does not run."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.service import serve
from client.site_folder import SiteFolder
from common.command import main
from common.keys import public_text
from common.wire import Content


class Silent:
    """A hospital that is asked nothing."""

    loading: str | None = None

    def respond(self, action: str, content: Content) -> Content:
        raise AssertionError(action)

    def status(self) -> dict[str, Any]:
        return {"loading": self.loading}


def call(*arguments: str | Path) -> int:
    """Run the command in this process, and return its exit code."""
    try:
        return main(["site", *map(str, arguments)])
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site with settings and nothing else."""
    key = public_text(Ed25519PrivateKey.generate())
    text = f'site = "north"\n[coordinator]\naddress = "c.example:1"\nsigning_key = "{key}"\n'
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "site.toml").write_text(text)
    return tmp_path / "site"


def test_the_status_of_a_site_that_does_not_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("status", folder) == 2
    assert "the site does not run" in capsys.readouterr().out
    assert call("status", folder, "--json") == 2
    assert json.loads(capsys.readouterr().out)["running"] is False


def test_stopping_it_is_no_mistake(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("stop", folder) == 0
    assert "stopped" in capsys.readouterr().out


def test_what_is_lacking_is_said_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("start", "units"):
        assert call(verb, folder) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "lacks keys/transport" in said


def test_another_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("start", "stop", "status", "units"):
        assert call(verb, tmp_path) == 2
        assert "is no site" in capsys.readouterr().err


def test_a_trainer_that_systemd_runs_is_seen_and_not_started_twice(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = SiteFolder(folder)
    for path in (site.transport_key, site.runtime_secret, site.coordinator_ca, site.policy):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    silent = Silent()
    service = serve(silent, site)
    try:
        assert call("status", folder) == 2
        said = capsys.readouterr().out
        assert "trainer    -         -        answers" in said
        assert "supernode  -         -        does not answer" in said
        assert "the trainer waits for messages" in said
        silent.loading = "sha256:b"
        assert call("status", folder) == 2
        assert "the trainer is loading the base model and the rows of its study" in capsys.readouterr().out
        assert call("start", folder) == 2
        assert "use either that or fedpeft site start, never both" in capsys.readouterr().err
        assert not (site.run / "ports.json").exists()
    finally:
        service.stop(1)
