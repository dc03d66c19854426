"""Where a real site keeps what is its own: one folder, made by `fedpeft site init`.

site.toml, policy.toml     what the hospital decides
keys/                      transport, transport.pub, signing.key, storage.key, runtime.secret
coordinator/               the coordinator's certificate authority, as it was handed over
approved/<16 hex digits>/  each approved bundle, with approval.json
state/                     the journal, steps.jsonl, and per study answers, private tensors and what was spent
state/adapters/            a registry of the global adapters that the site has taken over, and which one is in use
state/privacy/             the privacy ledger: what was spent of each patient, over all studies
run/                       socket, token, supervisor; logs/
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SiteFolder:
    """Paths under one site's folder."""

    path: Path

    @property
    def settings(self) -> Path:
        """Where data and base models are, and how to compute."""
        return self.path / "site.toml"

    @property
    def policy(self) -> Path:
        """What may leave."""
        return self.path / "policy.toml"

    @property
    def transport_key(self) -> Path:
        """The SuperNode's key (EC P-384); `.pub` beside it."""
        return self.path / "keys" / "transport"

    @property
    def signing_key(self) -> Path:
        """The trainer's key (Ed25519), which signs replies and receipts."""
        return self.path / "keys" / "signing.key"

    @property
    def storage_key(self) -> Path:
        """The key of what is encrypted at rest: 32 random bytes."""
        return self.path / "keys" / "storage.key"

    @property
    def runtime_secret(self) -> Path:
        """What SuperNode and gateway share on the loopback: 32 random bytes."""
        return self.path / "keys" / "runtime.secret"

    @property
    def coordinator_ca(self) -> Path:
        """The certificate authority of the coordinator's front door."""
        return self.path / "coordinator" / "ca.crt"

    @property
    def approved(self) -> Path:
        """Approved bundles."""
        return self.path / "approved"

    @property
    def state(self) -> Path:
        """What the trainer remembers."""
        return self.path / "state"

    @property
    def journal(self) -> Path:
        """Everything that left or was refused."""
        return self.state / "journal.jsonl"

    @property
    def ledger(self) -> Path:
        """What was spent of each patient."""
        return self.state / "privacy"

    @property
    def adapters(self) -> Path:
        """The registry of the global adapters that the site has taken over."""
        return self.state / "adapters"

    @property
    def paused(self) -> Path:
        """While this file is there, nothing is answered."""
        return self.path / "PAUSED"

    @property
    def run(self) -> Path:
        """Sockets, tokens and the supervisor's own files, of one boot."""
        return self.path / "run"

    @property
    def socket(self) -> Path:
        """The trainer's Unix socket."""
        return self.run / "trainer" / "trainer.sock"

    @property
    def token(self) -> Path:
        """What the gateway shows the trainer, new at each start of the trainer."""
        return self.run / "trainer" / "token"

    @property
    def logs(self) -> Path:
        """The processes' own logs, which never leave."""
        return self.path / "logs"

    @property
    def step_log(self) -> Path:
        """Figures of each training step; its own too."""
        return self.state / "steps.jsonl"

    def study_state(self, bundle: str) -> Path:
        """Return where the answers and private tensors of one approved bundle (its digest) are."""
        return self.state / "studies" / short(bundle)

    def approval(self, bundle: str) -> Path:
        """Return the folder of one approved bundle (its digest)."""
        return self.approved / short(bundle)


def short(digest: str) -> str:
    """Return the first 16 hex digits of a digest: a folder's name.

    >>> short("sha256:0123456789abcdef0123456789abcdef")
    '0123456789abcdef'
    """
    return digest.removeprefix("sha256:")[:16]
