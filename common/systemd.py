"""What the systemd units of coordinator and site have in common: the sandbox, and how systemd reads words."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from common.errors import UserError

HARDENING: Final = (
    "LimitCORE=0",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=read-only",
    "PrivateTmp=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
)
"""For every unit; how much of network, devices and capabilities each has, its own lines say."""
NO_CAPABILITIES: Final = ("CapabilityBoundingSet=",)
LOOPBACK_ONLY: Final = ("IPAddressDeny=any", "IPAddressAllow=localhost")


def command_line(command: Sequence[str]) -> str:
    """Return a command as systemd reads it.

    >>> command_line(("/usr/bin/env", "100%", "a b", "$HOME"))
    '"/usr/bin/env" "100%%" "a b" "$$HOME"'
    """
    return " ".join(quoted(part).replace("$", "$$") for part in command)


def paths(folders: Iterable[Path]) -> str:
    """Return a list of paths as systemd reads it."""
    return " ".join(quoted(str(folder.resolve())) for folder in folders)


def quoted(text: str) -> str:
    """Return a word of a setting: quoted, with its own % doubled."""
    word = escaped(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{word}"'


def escaped(text: str) -> str:
    """Return the one value of a setting with its own % doubled. Raises UserError for a control character."""
    if any(ord(character) < 32 for character in text):
        raise UserError(f"{text!r} holds a control character, which no systemd unit can; use a folder without it")
    return text.replace("%", "%%")
