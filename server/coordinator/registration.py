"""Enrolling and revoking sites: the roster, and what the SuperLink is told of it.

The roster decides who takes part in a run; the SuperLink, whom it lets in at all. So a site is revoked on the roster
first, and enrolled there last.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic

from common.enrolment import read_enrolment
from common.errors import UserError
from common.keys import fingerprint, transport_pem
from server.coordinator import roster as roster_file
from server.coordinator.flower_command import CONNECTION, flower
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.nodes import Node, nodes_by_key
from server.coordinator.ports import read_ports
from server.coordinator.programs import link_check
from server.coordinator.roster import Site, read_roster, roster_lock, write_roster

PATIENCE_S = 60.0
_POLL_S = 0.5


@dataclass(frozen=True)
class SiteState:
    """A site on the roster, and what the SuperLink says of its node: online, offline, ...; None: it is not asked."""

    site: Site
    node: str | None


def enroll(coordinator: Path, file: Path, *, expect: str | None = None) -> Site:
    """Add the site of an enrolment file; the SuperLink is told now if it runs, else at the next start.

    Args:
        expect: the fingerprint of the site's signing key, in any spacing; another one is refused.
    """
    folder = CoordinatorFolder(coordinator)
    with roster_lock(folder):
        enrolment = read_enrolment(file)
        found = fingerprint(enrolment.signing_key)
        if expect is not None and "".join(expect.split()).lower() != found.replace(" ", ""):
            raise UserError(f"{file} has a signing key with fingerprint {found}, expected {expect}; it is not enrolled")
        roster, site = roster_file.enrolled(read_roster(folder), enrolment, roster_file.now_utc())
        nodes = nodes_by_key(coordinator) if link_is_up(folder) else None
        if nodes is not None:
            _check_key_is_good(site, nodes)
        write_roster(folder, roster)  # before the SuperLink has it: whoever it lets in is on the roster
        if nodes is not None:
            with _told(coordinator, f"{site.name} is enrolled"):
                site = _settle(coordinator, site, nodes)
            write_roster(folder, roster.with_site(site))
    return site


def revoke(coordinator: Path, name: str) -> Site:
    """Let a site take part no more: at once, also in a run that is under way."""
    folder = CoordinatorFolder(coordinator)
    with roster_lock(folder):
        roster, site = roster_file.revoked(read_roster(folder), name, roster_file.now_utc())
        write_roster(folder, roster)
        if link_is_up(folder):
            with _told(coordinator, f"{site.name} is revoked, no run asks it any more"):
                site = _settle(coordinator, site, nodes_by_key(coordinator))
            write_roster(folder, roster.with_site(site))
    return site


def synchronise(coordinator: Path) -> None:
    """Tell the running SuperLink what has changed on the roster while it was down, or what it was not told to the end.

    Raises:
        UserError: it does not answer, or it takes the key of a site no more.
    """
    folder = CoordinatorFolder(coordinator)
    with roster_lock(folder):
        roster = read_roster(folder)
        waiting = [site for site in roster.sites if not (site.active and site.registered)]
        nodes = nodes_by_key(coordinator) if waiting else {}
        for site in waiting:
            _check_key_is_good(site, nodes)
            roster = roster.with_site(_settle(coordinator, site, nodes))
            write_roster(folder, roster)


def site_states(coordinator: Path) -> list[SiteState]:
    """Return every site of the roster, in the order of enrolment."""
    folder = CoordinatorFolder(coordinator)
    sites = read_roster(folder).sites
    nodes = node_states(coordinator) if link_is_up(folder) else None
    return [SiteState(site, _node(site, nodes)) for site in sites]


def node_states(coordinator: Path) -> Mapping[str, str]:
    """Return what the running SuperLink says of each registered node."""
    return {node.node_id: node.status for node in nodes_by_key(coordinator).values()}


def link_is_up(folder: CoordinatorFolder) -> bool:
    """Whether this coordinator's SuperLink answers, whoever supervises it."""
    try:
        ports = read_ports(folder)
    except UserError:
        return False
    return link_check(folder, ports).passes()


def check_running(coordinator: Path) -> None:
    """Raise UserError unless this coordinator's SuperLink answers."""
    if not link_is_up(CoordinatorFolder(coordinator)):
        raise UserError(f"the coordinator of {coordinator} does not run; start it: fedpeft server start {coordinator}")


def await_link(coordinator: Path) -> None:
    """Wait until the SuperLink answers. Raises UserError: it does not."""
    folder, end = CoordinatorFolder(coordinator), monotonic() + PATIENCE_S
    read_ports(folder)
    while not link_is_up(folder):
        if monotonic() > end:
            raise UserError(f"the SuperLink did not answer within {PATIENCE_S:.0f} s; its log says why")
        Event().wait(_POLL_S)


def _node(site: Site, nodes: Mapping[str, str] | None) -> str | None:
    return None if nodes is None or not site.registered else nodes.get(site.node_id or "", "unknown")


def _check_key_is_good(site: Site, nodes: Mapping[bytes, Node]) -> None:
    node = nodes.get(_key(site))
    if site.active and node is not None and node.is_gone:
        raise UserError(
            f"the SuperLink has unregistered the key of {site.name}, and takes it never again (is roster.json an older "
            f"copy?); revoke {site.name} if it is enrolled, and enroll it with new keys"
        )


def _settle(coordinator: Path, site: Site, nodes: Mapping[bytes, Node]) -> Site:
    """Bring the SuperLink to what the roster says, whatever an earlier command, perhaps cut short, has told it."""
    node = nodes.get(_key(site))
    if site.active:
        node_id = node.node_id if node is not None else _register(coordinator, site)
        return site.model_copy(update={"node_id": node_id, "registered": True})
    if node is not None and not node.is_gone:
        flower(coordinator, "supernode", "unregister", node.node_id, CONNECTION)
    return site.model_copy(update={"registered": False})


def _key(site: Site) -> bytes:
    return transport_pem(site.transport_key).strip()


def _register(coordinator: Path, site: Site) -> str:
    with tempfile.TemporaryDirectory() as folder:
        public = Path(folder) / "site.pub"
        public.write_text(f"{site.transport_key}\n", encoding="ascii")
        answer = flower(coordinator, "supernode", "register", str(public), CONNECTION, "--name", site.name)
    return str(answer["node-id"])


@contextmanager
def _told(coordinator: Path, done: str) -> Iterator[None]:
    """Say what is `done` already where the SuperLink could not be told."""
    try:
        yield
    except UserError as error:
        raise UserError(
            f"{done}; but the SuperLink could not be told ({error}); tell it again: fedpeft server sync {coordinator}"
        ) from None
