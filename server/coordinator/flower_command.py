"""Flower's own command line, `flwr`, on this coordinator's SuperLink, which only this machine reaches."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any  # what it prints is JSON

from common.errors import UserError
from common.files import write_bytes
from common.loopback import LOOPBACK
from common.quiet import QUIET
from server.coordinator.certificates import CertificateFolder
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.ports import Ports

CONNECTION = "local"
"""What our connection is called in Flower's configuration."""
PROGRAMS = Path(sys.executable).parent
PATIENCE_S = 120.0
_POLL_INTERVAL_S = "0.2"
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": str(2**17)}
"""From this size on what is freed goes back to the machine; glibc itself raises the bound to 32 MB and keeps it."""
_UNKNOWN_RUN = "[code: 16]"
"""Flower's own number of RUN_ID_NOT_FOUND, as its command line shows it."""


class UnknownRunError(UserError):
    """The SuperLink knows no run of this id: its database is another one since."""


class FlowerTimeoutError(UserError):
    """A command of Flower's was not done in time: what it asks for may still happen."""


def flower(coordinator: Path, *arguments: str) -> Any:
    """Run `flwr` with these arguments and return the JSON that it prints. Raises UserError with what it says."""
    folder = CoordinatorFolder(coordinator.resolve())
    command = [str(PROGRAMS / "flwr"), *arguments, "--format", "json"]
    try:
        done = subprocess.run(
            command,
            cwd=folder.flower_home,
            env={**os.environ, **environment(folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        raise FlowerTimeoutError(
            f"flwr {arguments[0]} was not done after {PATIENCE_S:.0f} s; look at logs/superlink.log"
        ) from None
    except FileNotFoundError:
        raise UserError(f"{folder.path} is no coordinator's folder, or flwr is not installed beside fedpeft") from None
    return _answer(done, " ".join(arguments[:2]))


def _answer(done: "subprocess.CompletedProcess[str]", what: str) -> Any:
    """Return the JSON on a command's output; Flower says failures there, too."""
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {}
    if done.returncode or not isinstance(answer, dict) or not answer.get("success", False):
        said = answer.get("error-message") if isinstance(answer, dict) else None
        text = " ".join(str(said or done.stderr or done.stdout).split())
        raise failure(what, text)
    return answer


def failure(what: str, said: str) -> UserError:
    """Return the error for a command of `flwr` that failed, by what it said."""
    kind = UnknownRunError if _UNKNOWN_RUN in said else UserError
    return kind(f"flwr {what}: {said[-400:] or 'no answer'}")


def environment(folder: CoordinatorFolder) -> Mapping[str, str]:
    """Return the environment of a coordinator's processes: an FLWR_HOME of its own, nothing that reports home."""
    path = os.environ.get("PATH", os.defpath)
    return {
        **QUIET,
        "FLWR_HOME": str(folder.flower_home.resolve()),
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": _POLL_INTERVAL_S,
        **GIVE_BACK,
        # The superexec starts the ServerApp's process by its bare name.
        "PATH": f"{PROGRAMS}{os.pathsep}{path}",
    }


def write_connection(folder: CoordinatorFolder, ports: Ports) -> None:
    """Tell `flwr` where the SuperLink is."""
    ca = CertificateFolder(folder.certificates).link_ca.certificate.resolve()
    text = (
        f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\n'
        f'address = "{LOOPBACK}:{ports.link}"\nroot-certificates = {json.dumps(str(ca), ensure_ascii=False)}\n'
    )
    write_bytes(folder.flower_home / "config.toml", text.encode(), mode=0o600)
