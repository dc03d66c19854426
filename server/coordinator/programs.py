"""The programs of a coordinator, and how each is asked whether it answers. Only the front door is reached from outside.

SuperLink and its executor listen on the loopback; they share a secret, without which nobody becomes a ServerApp. The
order of stopping is that of starting, backwards: watch, metrics if asked for, door, executor with its runs, SuperLink.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from common.files import write_bytes
from common.loopback import LOOPBACK
from common.supervision import Program
from common.watch import Check, WatchConfig, watch_program
from server.coordinator.certificates import CertificateFolder
from server.coordinator.flower_command import PROGRAMS, environment
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.ports import Ports
from server.coordinator.settings import ServerSettings
from server.front_door.settings import DoorSettings

STOP_S = 15.0
"""A ServerApp needs up to 8 s to end."""
_EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1"}


def write_programs(folder: CoordinatorFolder, settings: ServerSettings, ports: Ports) -> list[Program]:
    """Write the configuration files of this start, and return the programs in the order in which they start."""
    shared = environment(folder)
    door = folder.run / "door.json"
    write_bytes(door, door_settings(folder, settings, ports).model_dump_json(indent=2).encode(), mode=0o600)
    watched = WatchConfig(folder=folder.run, checks=tuple(checks(folder, settings, ports)))
    measures = [] if settings.metrics.port is None else [Program("metrics", metrics(folder), shared, priority=35)]
    return [
        Program("superlink", superlink(folder, ports), shared, priority=10, stop_wait_s=STOP_S, steady_s=3),
        Program("superexec", superexec(folder, ports), shared, priority=20, stop_wait_s=STOP_S, steady_s=2),
        Program("door", front_door(door), shared, priority=30, stop_wait_s=STOP_S, steady_s=2),
        *measures,
        watch_program(watched, folder.run / "watch.json", environment=shared, priority=40),
    ]


def checks(folder: CoordinatorFolder, settings: ServerSettings, ports: Ports) -> list[Check]:
    """Return how the health of each program is asked."""
    certificates = CertificateFolder(folder.certificates)
    listen = _EVERYWHERE.get(settings.listen, settings.listen)
    host = f"[{listen}]" if ":" in listen else listen
    return [
        link_check(folder, ports),
        Check(program="superexec", grpc=f"{LOOPBACK}:{ports.superexec}"),
        Check(
            program="door",
            url=f"https://{host}:{settings.port}/health",
            ca=certificates.ca.certificate,
            name=settings.hosts[0],
            any_status=True,  # it is not restarted because the SuperLink is down
        ),
    ]


def link_check(folder: CoordinatorFolder, ports: Ports) -> Check:
    """Return how the SuperLink's health is asked."""
    ca = CertificateFolder(folder.certificates).link_ca.certificate
    return Check(program="superlink", url=f"https://{LOOPBACK}:{ports.link}/health", ca=ca)


def superlink(folder: CoordinatorFolder, ports: Ports) -> tuple[str, ...]:
    """Return the command of the SuperLink."""
    certificates = CertificateFolder(folder.certificates)
    options: Mapping[str, object] = {
        "--host": LOOPBACK,
        "--port": ports.link,
        "--ssl-ca-certfile": certificates.link_ca.certificate,
        "--ssl-certfile": certificates.link.certificate,
        "--ssl-keyfile": certificates.link.key,
        "--isolation": "process",
        "--superexec-auth-secret-file": folder.link_secret,
        "--database": folder.database,
    }
    flags = ("--enable-supernode-auth", "--disable-runtime-dependency-installation")
    return (str(PROGRAMS / "flower-superlink"), *_texts(options), *flags)


def superexec(folder: CoordinatorFolder, ports: Ports) -> tuple[str, ...]:
    """Return the command of the executor that starts a process for each run."""
    options: Mapping[str, object] = {
        "--runtime-api-address": f"{LOOPBACK}:{ports.link}",
        "--root-certificates": CertificateFolder(folder.certificates).link_ca.certificate,
        "--superexec-auth-secret-file": folder.link_secret,
        "--health-server-address": f"{LOOPBACK}:{ports.superexec}",
    }
    return (str(PROGRAMS / "flower-superexec"), *_texts(options))


def front_door(config: Path) -> tuple[str, ...]:
    """Return the command of a front door with this settings file."""
    # -P: no module is taken from the working folder.
    return (sys.executable, "-P", "-m", "server.front_door", str(config))


def metrics(folder: CoordinatorFolder) -> tuple[str, ...]:
    """Return the command of what Prometheus reads."""
    return (sys.executable, "-P", "-m", "server.metrics.process", str(folder.path))


def door_settings(folder: CoordinatorFolder, settings: ServerSettings, ports: Ports) -> DoorSettings:
    """Return the front door's settings."""
    certificates = CertificateFolder(folder.certificates)
    return DoorSettings(
        host=settings.listen,
        port=settings.port,
        certfile=certificates.door.certificate,
        keyfile=certificates.door.key,
        upstream=f"https://{LOOPBACK}:{ports.link}",
        upstream_ca=certificates.link_ca.certificate,
        limits=settings.limits,
    )


def _texts(options: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(str(part) for option in options.items() for part in option)
