"""Runs a systemd unit's ExecStart as systemd would, where systemd itself does not run. Only root may.

User, groups, environment, umask and capabilities are the unit's. `PrivateNetwork` is a network namespace without any
interface but a loopback that is down; `ProtectSystem=strict` is a read-only file system but for `ReadWritePaths`.
Folders of the installed Python that other users may not enter, such as those below /root, are opened to it.
"""

import configparser
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NEEDED: Final = ("mount", "setpriv", "unshare", "useradd", "groupadd", "userdel")
ROOT: Final = Path(__file__).parents[2]


def missing() -> str:
    """Return why units cannot be run here, or nothing."""
    if os.name != "posix" or os.geteuid() != 0:
        return "only root can run processes as other users"
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    if lacking:
        return f"this machine lacks {', '.join(lacking)}"
    done = subprocess.run(["unshare", "-m", "-n", "true"], capture_output=True, text=True, check=False)
    return f"no namespaces here: {done.stderr.strip()}" if done.returncode else ""


@dataclass(frozen=True)
class Unit:
    """What a unit says of how its process runs."""

    user: str
    group: str
    environment: tuple[str, ...]
    command: tuple[str, ...]
    umask: str
    writable: tuple[str, ...]
    has_network: bool


def read_unit(path: Path) -> Unit:
    """Read a unit file; each line that is not there is an error, as is a sandbox that would not be kept."""
    text = path.read_text(encoding="utf-8")
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names have capitals
    parser.read_string(text)
    service = parser["Service"]
    assert (service["ProtectSystem"], service["NoNewPrivileges"], service["CapabilityBoundingSet"]) == (
        "strict",
        "yes",
        "",
    )
    lines = [line.partition("=")[2] for line in text.splitlines() if line.startswith("Environment=")]
    return Unit(
        user=service["User"],
        group=service.get("Group", service["User"]),
        environment=tuple(word for line in lines for word in words(line)),
        command=tuple(word.replace("$$", "$") for word in words(service["ExecStart"])),
        umask=service["UMask"],
        writable=tuple(words(service["ReadWritePaths"])),
        has_network=service.get("PrivateNetwork") != "yes",
    )


def words(line: str) -> list[str]:
    """Return the words of a line as systemd reads it."""
    return [word.replace("%%", "%") for word in shlex.split(line)]


def as_user(user: str, group: str, command: Sequence[str]) -> list[str]:
    """Return a command line that runs `command` as another user, in this mount namespace, with no capability."""
    identity = [f"--reuid={user}", f"--regid={group}", "--init-groups"]
    return ["setpriv", *identity, "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", *command]


def launch(unit: Unit, *, log: Path, extra: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
    """Start a unit's process in a session of its own; `extra` are more words for its environment."""
    environment = [f"PATH={os.defpath}", "LANG=C.UTF-8", *unit.environment, *extra]
    inner = as_user(unit.user, unit.group, ["env", "-i", *environment, *unit.command])
    script = "\n".join(
        ["set -e", *opened(), *read_only(unit.writable), f"umask {unit.umask}", "cd /", f"exec {shlex.join(inner)}"]
    )
    namespaces = ["unshare", "-m", *([] if unit.has_network else ["-n"])]
    with log.open("ab") as file:
        return subprocess.Popen(
            [*namespaces, "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def look(user: str, group: str, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a command as a user, to its end."""
    script = "\n".join(["set -e", *opened(), "cd /", f"exec {shlex.join(as_user(user, group, command))}"])
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, errors="replace", check=False
    )


def read_only(writable: Iterable[str]) -> list[str]:
    """Return the lines that make everything read-only but these folders and a fresh /var/tmp."""
    lines = ["mount -t tmpfs -o mode=1777 tmpfs /var/tmp"]
    lines += [f"mount --bind {shlex.quote(path)} {shlex.quote(path)}" for path in writable]
    return [*lines, "mount -o remount,bind,ro /"]


def opened() -> list[str]:
    """Return the lines that let every user reach the installed Python and this source."""
    needed = {Path(path).resolve() for path in (sys.prefix, sys.base_prefix, ROOT)}
    lines: list[str] = []
    for closed in {folder for path in needed if (folder := closed_folder(path))}:
        below = [path for path in needed if path.is_relative_to(closed)]
        held = [f"/var/tmp/{number}" for number in range(len(below))]
        lines.append("mount -t tmpfs tmpfs /var/tmp")
        for path, place in zip(below, held, strict=True):
            lines += [f"mkdir {place}", f"mount --bind {shlex.quote(str(path))} {place}"]
        lines.append(f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(closed))}")
        for path, place in zip(below, held, strict=True):
            lines += [
                f"mkdir -p {shlex.quote(str(path))}",
                f"mount --move {place} {shlex.quote(str(path))}",
            ]
        lines.append("umount /var/tmp")
    return lines


def closed_folder(path: Path) -> Path | None:
    """Return the outermost folder on the way to `path` that others may not enter."""
    return next((each for each in [*reversed(path.parents), path] if not each.stat().st_mode & 0o001), None)
