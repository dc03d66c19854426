"""systemd units for production, in place of our own supervisor, with nginx as the front door.

SuperLink, executor and the holder of long polls may talk to this machine alone; nginx alone is reached from outside.
Every unit may write into the coordinator's folder and nowhere else.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from common.files import write_bytes
from common.loopback import LOOPBACK
from common.systemd import HARDENING, LOOPBACK_ONLY, NO_CAPABILITIES, command_line, escaped, quoted
from server.coordinator.certificates import CertificateFolder
from server.coordinator.flower_command import PROGRAMS, environment, write_connection
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.ports import Ports, choose_ports, read_ports
from server.coordinator.programs import STOP_S, door_settings, front_door, metrics, superexec, superlink
from server.coordinator.registration import link_is_up
from server.coordinator.settings import ServerSettings, read_settings

NGINX = "/usr/sbin/nginx"
OWN = ("PrivateDevices=yes", "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "UMask=0077")
LOW_PORTS = ("CapabilityBoundingSet=CAP_NET_BIND_SERVICE", "AmbientCapabilities=CAP_NET_BIND_SERVICE")


def write_units(coordinator: Path, *, user: str) -> list[Path]:
    """Write units and the nginx configuration into `units/`, and return their paths; `user` runs them all."""
    from server.nginx import render

    folder = CoordinatorFolder(coordinator.resolve())
    settings = read_settings(folder.settings)
    # Those of a SuperLink that runs are not free, and are those to keep.
    ports = read_ports(folder) if link_is_up(folder) else choose_ports(folder)
    write_connection(folder, ports)
    holder = door_settings(folder, settings, ports).model_copy(
        update={"role": "holder", "host": LOOPBACK, "port": ports.holder, "certfile": None, "keyfile": None}
    )
    nginx = folder.run / "nginx"
    nginx.mkdir(mode=0o700, exist_ok=True)
    certificates = CertificateFolder(folder.certificates)
    files = units(folder, settings, ports, user=user) | {
        "holder.json": holder.model_dump_json(indent=2, exclude_none=True) + "\n",
        "nginx.conf": render(
            folder=nginx,
            host=settings.listen,
            port=settings.port,
            certificate=certificates.door.certificate,
            key=certificates.door.key,
            upstream_port=ports.link,
            upstream_ca=certificates.link_ca.certificate,
            holder_port=ports.holder,
            limits=settings.limits,
        ),
    }
    for name, text in files.items():
        write_bytes(folder.units / name, text.encode(), mode=0o644)
    return [folder.units / name for name in files]


def units(folder: CoordinatorFolder, settings: ServerSettings, ports: Ports, *, user: str) -> dict[str, str]:
    """Return the text of each unit by its file's name."""
    shared = environment(folder)
    nginx = (NGINX, "-c", str(folder.units / "nginx.conf"), "-p", str(folder.run / "nginx"), "-g", "daemon off;")
    link, superexec_unit, holder = "fedpeft-superlink.service", "fedpeft-superexec.service", "fedpeft-holder.service"
    inner = (*LOOPBACK_ONLY, *NO_CAPABILITIES)
    sync = f"ExecStartPost=-{command_line((str(PROGRAMS / 'fedpeft'), 'server', 'sync', str(folder.path)))}"
    outer = LOW_PORTS if settings.port < 1024 else NO_CAPABILITIES

    def unit(what: str, command: Sequence[str], *extra: str, after: str | None = None) -> str:
        return _unit(f"fedpeft coordinator: {what}", command, folder.path, shared, user=user, extra=extra, after=after)

    measures = (
        {}
        if settings.metrics.port is None
        else {"fedpeft-metrics.service": unit("metrics", metrics(folder), *inner, after=link)}
    )
    return measures | {
        link: unit("SuperLink", superlink(folder, ports), *inner, sync),
        superexec_unit: unit("executor of runs", superexec(folder, ports), *inner, after=link),
        holder: unit("holder of long polls", front_door(folder.units / "holder.json"), *inner, after=link),
        "fedpeft-nginx.service": unit("front door", nginx, *outer, after=holder),
    }


def _unit(
    what: str,
    command: Sequence[str],
    folder: Path,
    variables: Mapping[str, str],
    *,
    user: str,
    extra: Sequence[str],
    after: str | None,
) -> str:
    follows = ["Wants=network-online.target", f"After=network-online.target{f' {after}' if after else ''}"]
    lines = [
        "[Unit]",
        f"Description={what}",
        *follows,
        "",
        "[Service]",
        f"User={user}",
        f"WorkingDirectory={escaped(str(folder))}",
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in variables.items()),
        f"ExecStart={command_line(command)}",
        # A SuperNode or SuperLink may end with 0 where it should go on.
        "Restart=always",
        "RestartSec=2",
        f"TimeoutStopSec={STOP_S:.0f}",
        *HARDENING,
        *OWN,
        f"ReadWritePaths={quoted(str(folder))}",
        *extra,
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join([*lines, ""])
