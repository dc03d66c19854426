"""Where a coordinator keeps what is its own: one folder, made by `fedpeft server init`.

server.toml        host names, public port, limits
join.toml          what a hospital is given: address, certificate authority, the coordinator's signing key
keys/              signing.key, link.secret
certs/             ca, door (public certificate); link-ca, link (SuperLink on the loopback)
roster.json        the enrolled sites
state/             SuperLink's database; flwr-home/: Flower's own configuration
runs/<run>/        results of each run, as a simulation writes them
run/               the supervisor's own files, ports; logs/; units/: generated systemd and nginx files
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CoordinatorFolder:
    """Paths under one coordinator's folder."""

    path: Path

    @property
    def settings(self) -> Path:
        """Host names, public port, limits."""
        return self.path / "server.toml"

    @property
    def join(self) -> Path:
        """What a hospital is given."""
        return self.path / "join.toml"

    @property
    def signing_key(self) -> Path:
        """Signs bundles and the server's receipts (Ed25519)."""
        return self.path / "keys" / "signing.key"

    @property
    def link_secret(self) -> Path:
        """What SuperLink and its superexec share: 32 random bytes."""
        return self.path / "keys" / "link.secret"

    @property
    def certificates(self) -> Path:
        """`ca.crt`, `ca.key`, `door.pem`, `door.key`, `link-ca.crt`, `link-ca.key`, `link.pem`, `link.key`."""
        return self.path / "certs"

    @property
    def roster(self) -> Path:
        """The enrolled sites."""
        return self.path / "roster.json"

    @property
    def database(self) -> Path:
        """SuperLink's."""
        return self.path / "state" / "superlink.db"

    @property
    def flower_home(self) -> Path:
        """FLWR_HOME of every process of this coordinator."""
        return self.path / "flwr-home"

    @property
    def runs(self) -> Path:
        """One folder per run."""
        return self.path / "runs"

    @property
    def run(self) -> Path:
        """The supervisor's own files and the ports of this start (`ports.json`)."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """The processes' own logs."""
        return self.path / "logs"

    @property
    def units(self) -> Path:
        """Generated systemd units and the nginx configuration."""
        return self.path / "units"
