"""`fedpeft server` as a shell sees it: one line for a mistake, JSON for machines, and no torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common.bundle import read_bundle
from common.command import main
from common.endorsement import read_endorsement
from common.enrolment import Enrolment, write_enrolment
from common.keys import fingerprint, make_signing_key, make_transport_key, public_text, read_signing_key
from common.preparation import prepare
from common.study import Study
from server.coordinator.folder import CoordinatorFolder

WITHOUT_TORCH = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'torch', 'transformers', 'peft', 'pandas', 'sklearn'}:
            raise ImportError(f'{name} is blocked')
sys.meta_path.insert(0, Blocker())
from common.command import main
sys.exit(main(sys.argv[1:]))
"""


def call(*arguments: str | Path) -> int:
    """Run the command in this process, and return its exit code."""
    try:
        return main(["server", *map(str, arguments)])
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.fixture
def coordinator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "server"
    assert call("init", path, "--host", "fl.example.org, 192.0.2.1", "--port", "9443") == 0
    capsys.readouterr()
    return path


@pytest.fixture
def enrolment(tmp_path: Path) -> Path:
    key = make_signing_key(tmp_path / "north" / "signing.key")
    public = make_transport_key(tmp_path / "north" / "transport")
    path = tmp_path / "north.enrol"
    write_enrolment(path, Enrolment(site="north", transport_key=public, signing_key=public_text(key)), key)
    return path


def test_init_says_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("init", tmp_path / "it", "--host", "fl.example.org") == 0
    said = capsys.readouterr().out
    key = public_text(read_signing_key(CoordinatorFolder(tmp_path / "it").signing_key))
    assert fingerprint(key) in said
    assert f"fedpeft server start {tmp_path / 'it'}" in said
    assert "fl.example.org:8443" in said


def test_a_site_is_enrolled_listed_and_revoked(
    coordinator: Path, enrolment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("enroll", coordinator, enrolment) == 0
    assert "enrolled north; it is let in from the next start" in capsys.readouterr().out
    assert call("sites", coordinator) == 0
    assert "waits for the" in capsys.readouterr().out
    assert call("revoke", coordinator, "north") == 0
    capsys.readouterr()
    assert call("sites", coordinator, "--json") == 0
    (site,) = json.loads(capsys.readouterr().out)
    assert (site["name"], site["node"], site["registered"]) == ("north", None, False)
    assert site["revoked"] is not None


def test_a_mistake_is_one_line(coordinator: Path, enrolment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("revoke", coordinator, "south") == 2
    assert capsys.readouterr().err == "fedpeft: no site 'south' is enrolled; enrolled are: none\n"
    assert call("enroll", coordinator, enrolment, "--expect", "0000") == 2
    assert "it is not enrolled" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["start", "stop", "status", "renew", "units"])
def test_another_folder_is_told_apart(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(command, tmp_path) == 2
    assert "is no coordinator's folder; make one: fedpeft server init" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_coordinator_is_not_healthy(coordinator: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("status", coordinator, "--json") == 2
    assert json.loads(capsys.readouterr().out) == {"healthy": False, "certificate_days_left": 397, "services": []}
    assert call("stop", coordinator) == 0


def test_renew_makes_new_certificates(coordinator: Path) -> None:
    door = CoordinatorFolder(coordinator).certificates / "door.pem"
    before = door.read_bytes()
    assert call("renew", coordinator) == 0
    assert door.read_bytes() != before


def test_a_bundle_is_signed_with_the_coordinators_key(
    coordinator: Path, make_study: Callable[..., Study], tiny_model: Path, tmp_path: Path
) -> None:
    prepare(make_study(), tiny_model, tmp_path / "bundle")
    assert call("sign", coordinator, tmp_path / "bundle") == 0
    found = read_endorsement(tmp_path / "bundle", read_bundle(tmp_path / "bundle"))
    assert found.coordinator == public_text(read_signing_key(CoordinatorFolder(coordinator).signing_key))


def test_a_run_needs_a_coordinator_that_runs_and_leaves_nothing_else(
    coordinator: Path,
    make_study: Callable[..., Study],
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(make_study(), tiny_model, tmp_path / "bundle")
    assert call("run", coordinator, tmp_path / "bundle") == 2
    assert f"does not run; start it: fedpeft server start {coordinator}" in capsys.readouterr().err
    assert list((coordinator / "runs").glob("*")) == []


def test_no_command_needs_torch(coordinator: Path, enrolment: Path) -> None:
    for arguments in (["enroll", coordinator, enrolment], ["sites", coordinator], ["units", coordinator]):
        command = [sys.executable, "-c", WITHOUT_TORCH, "server", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
