"""How a coordinator's state looks: tables for people, plain values for machines."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any  # JSON values

from rich.console import Console
from rich.table import Table

from common.files import digest_bytes
from common.keys import fingerprint, transport_pem
from server.coordinator.certificates import CertificateFolder, days_left
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.processes import ELSEWHERE, Service
from server.coordinator.registration import SiteState


def status_json(coordinator: Path, services: Sequence[Service]) -> Mapping[str, Any]:
    """Return how a coordinator fares."""
    return {
        "healthy": is_healthy(services),
        "certificate_days_left": certificate_days(coordinator),
        "services": [{**vars(each), "since": _text(each.since)} for each in services],
    }


def sites_json(states: Sequence[SiteState]) -> list[Mapping[str, Any]]:
    """Return the roster, with what the SuperLink says of each site's node."""
    return [
        {
            "name": state.site.name,
            "node": state.node,
            "node_id": state.site.node_id,
            "registered": state.site.registered,
            "enrolled": _text(state.site.enrolled),
            "revoked": _text(state.site.revoked),
            "transport_key": state.site.transport_key,
            "transport_name": transport_name(state.site.transport_key),
            "signing_key": state.site.signing_key,
        }
        for state in states
    ]


def transport_name(key: str) -> str:
    """Return what the front door's log calls a site, which knows no names."""
    return digest_bytes(transport_pem(key)).removeprefix("sha256:")[:16]


def is_healthy(services: Sequence[Service]) -> bool:
    """Whether all programs run, and all that are asked answer."""
    return bool(services) and all(
        each.state in ("RUNNING", ELSEWHERE) and each.healthy is not False for each in services
    )


def certificate_days(coordinator: Path) -> int:
    """Return the whole days for which the certificate that ends first is valid."""
    folder = CertificateFolder(CoordinatorFolder(coordinator).certificates)
    return min(days_left(pair.certificate, datetime.now(UTC)) for pair in (folder.door, folder.link))


def print_services(services: Sequence[Service]) -> None:
    """Print one line for each program."""
    table = Table("program", "state", "answers", "pid", "since")
    for each in services:
        answers = {True: "yes", False: "NO", None: "-"}[each.healthy]
        table.add_row(each.name, each.state, answers, str(each.pid or "-"), _text(each.since) or "-")
    Console().print(table)


def print_sites(states: Sequence[SiteState]) -> None:
    """Print one line for each site that was ever enrolled."""
    table = Table()
    for name, whole in (("site", False), ("state", False), ("enrolled (UTC)", True), ("signing key", True)):
        table.add_column(name, no_wrap=whole, overflow="fold")
    for each in states:
        site = each.site
        table.add_row(site.name, state_word(each), f"{site.enrolled:%Y-%m-%d %H:%M}", _in_two_lines(site.signing_key))
    Console(highlight=False, markup=False).print(table)


def _in_two_lines(key: str) -> str:
    """A fingerprint in one line would leave no room for the rest in a terminal of 80 columns."""
    groups = fingerprint(key).split()
    return " ".join(groups[:4]) + "\n" + " ".join(groups[4:])


def state_word(state: SiteState) -> str:
    """Return where a site is, in a word."""
    if not state.site.active:
        return "revoked"
    return state.node or ("coordinator is down" if state.site.registered else "waits for the coordinator's start")


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
