"""systemd units of a site's processes: the trainer without any network, SuperNode and gateway without the data.

Two OS users share one group, the `socket_group` of site.toml; or both are one user.
"""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from client.ports import kept_ports
from client.processes import GATEWAY, SUPERNODE, TRAINER, check_complete, site_programs
from client.settings import read_settings
from client.site_folder import SiteFolder
from common.errors import UserError
from common.files import write_bytes
from common.supervision import Program
from common.systemd import HARDENING, LOOPBACK_ONLY, NO_CAPABILITIES, command_line, paths, quoted

_INTERNET: Final = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"
# A GPU is a device: the trainer keeps what the machine has. SuperNode and gateway speak to each other on the loopback.
_SANDBOXES: Final = {
    TRAINER: (
        "# No network at all: the gateway is reached, and reaches the trainer, by a Unix socket in run/trainer.",
        "PrivateNetwork=yes",
        "RestrictAddressFamilies=AF_UNIX",
        "PrivateDevices=no",
    ),
    SUPERNODE: (_INTERNET, "PrivateDevices=yes"),
    GATEWAY: (_INTERNET, "PrivateDevices=yes", *LOOPBACK_ONLY),
}

_SEVERAL: Final = (
    "# Of this trainer's several processes, which sum their gradients over the loopback of a network of their own.",
    "PrivateNetwork=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "PrivateDevices=no",
)


def write_units(folder: SiteFolder, *, trainer_user: str, gateway_user: str) -> list[Path]:
    """Write `units/fedpeft-*.service` and `units/permissions.sh`, and return their paths.

    Raises:
        UserError: the site is not complete, or has two users and no `socket_group`.
    """
    check_complete(folder)
    settings = read_settings(folder)
    group, several = settings.trainer.socket_group, len(settings.members) > 1
    if group is None and trainer_user != gateway_user:
        raise UserError(
            f"two users, {trainer_user} and {gateway_user}, need a group that both are in: write socket_group = "
            f'"GROUP" under [trainer] in {folder.settings.name}; or give one user for both'
        )
    users = {TRAINER: trainer_user, SUPERNODE: gateway_user, GATEWAY: gateway_user}
    texts = {
        f"fedpeft-{each.name}.service": unit(
            folder, each, user=users[each.name], group=group, several=several, textfile=settings.metrics.textfile
        )
        for each in site_programs(folder, kept_ports(folder))
    }
    texts["permissions.sh"] = permissions(folder, trainer=trainer_user, gateway=gateway_user, group=group)
    out = folder.path / "units"
    for name, text in texts.items():
        write_bytes(out / name, text.encode())
    return [out / name for name in texts]


def unit(
    folder: SiteFolder,
    program: Program,
    *,
    user: str,
    group: str | None,
    several: bool = False,
    textfile: Path | None = None,
) -> str:
    """Return the text of one unit; it restarts whatever the exit status, since a refused SuperNode exits with 0.

    several: whether the trainer has further processes, which it speaks to on the loopback. textfile: of its figures.
    """
    own = program.name == TRAINER
    writable = [folder.run / "trainer", folder.state] if own else [folder.run / "flwr-home"]
    if own and textfile is not None and not textfile.is_relative_to(folder.state.resolve()):
        writable.append(textfile.parent)
    lines = [
        "[Unit]",
        f"Description=fedpeft {program.name} of a site",
        f"After={'local-fs.target' if own else 'network-online.target fedpeft-trainer.service'}",
        *([] if own else ["Wants=network-online.target"]),
        "",
        "[Service]",
        f"User={user}",
        *([f"Group={group}"] if group else []),
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in program.environment.items()),
        f"ExecStart={command_line(program.command)}",
        "Restart=always",
        "RestartSec=2",
        f"TimeoutStopSec={program.stop_wait_s:g}",
        "KillMode=control-group",
        f"ReadWritePaths={paths(writable)}",
        *(_SEVERAL if own and several else _SANDBOXES[program.name]),
        *HARDENING,
        *NO_CAPABILITIES,
        "UMask=0077",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join([*lines, ""])


def permissions(folder: SiteFolder, *, trainer: str, gateway: str, group: str | None) -> str:
    """Return a shell script, for root to read and to run once: what belongs to whom."""
    shared = group or trainer
    both = [folder.path, folder.run, folder.transport_key.parent, folder.coordinator_ca.parent]
    theirs = [folder.transport_key, folder.runtime_secret, folder.run / "flwr-home"]
    homes = [folder.run / "trainer", folder.run / "flwr-home", folder.state, folder.logs]
    lines = [
        "#!/bin/sh",
        "# What the two users of a site may reach. Read it, then run it once as root.",
        "set -eu",
        f"mkdir -p {_shell(homes)}",
        f"chown -R {trainer}:{shared} {_shell([folder.path])}",
        f"chmod -R go-rwx {_shell([folder.path])}",
        f"chmod g+rX {_shell([*both, folder.coordinator_ca, folder.run / 'ports.json'])}",
        f"chown -R {gateway}:{shared} {_shell(theirs)}",
        f"chmod g+rx {_shell([folder.run / 'trainer'])}",
    ]
    return "\n".join(lines) + "\n"


def _shell(folders: Iterable[Path]) -> str:
    return " ".join(shlex.quote(str(folder.resolve())) for folder in folders)
