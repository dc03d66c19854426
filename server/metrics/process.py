"""The program that Prometheus reads a coordinator's figures from, on this machine's loopback alone.

python -m server.metrics.process DIR
"""

import os
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from common.errors import UserError
from common.loopback import LOOPBACK
from common.quiet import silence
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.registration import node_states
from server.coordinator.roster import read_roster
from server.coordinator.settings import read_settings
from server.coordinator.views import certificate_days
from server.metrics.collector import CoordinatorCollector


def sites_online(coordinator: Path) -> Mapping[str, str | None]:
    """Return what the SuperLink says of each active site. Raises UserError: it does not answer."""
    nodes = node_states(coordinator)
    active = (site for site in read_roster(CoordinatorFolder(coordinator)).sites if site.active)
    return {site.name: nodes.get(site.node_id or "") for site in active}


def registry_of(coordinator: Path) -> CollectorRegistry:
    """Return a registry of its own with the coordinator's figures, and those of this process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(
        CoordinatorCollector(coordinator, partial(sites_online, coordinator), partial(certificate_days, coordinator))
    )
    ProcessCollector(registry=registry)
    return registry


def main(arguments: list[str]) -> int:
    """Serve `/metrics` of the coordinator in the given folder, to SIGTERM."""
    silence(os.environ)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})  # before there is another thread
    coordinator = Path(arguments[0]).resolve()
    try:
        port = read_settings(CoordinatorFolder(coordinator).settings).metrics.port
        if port is None:
            raise UserError("server.toml has no port under [metrics]")
        server, _ = start_http_server(port, LOOPBACK, registry_of(coordinator))
    except (UserError, OSError) as error:
        sys.stderr.write(f"metrics: {error}\n")
        return 2
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
