"""The enrolled sites: who has which keys. A site is known by its key alone, whatever a node says of itself.

`registered` is what the SuperLink has been told so far: a site that is enrolled, or revoked, while it is down, is told
to it at the next start. A revoked key never comes back; its name may, with new keys.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from common.enrolment import Enrolment
from common.errors import UserError
from common.files import write_bytes
from common.keys import transport_pem
from common.locking import exclusive
from common.names import SiteName
from common.ownership import check_owner
from server.coordinator.folder import CoordinatorFolder


class Site(BaseModel):
    """One site. node_id: the SuperLink's, once registered. enrolled, revoked: when, UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: SiteName
    transport_key: str
    signing_key: str
    enrolled: datetime
    revoked: datetime | None = None
    node_id: str | None = None
    registered: bool = False

    @property
    def active(self) -> bool:
        """Whether the site may take part."""
        return self.revoked is None


class Roster(BaseModel):
    """All sites that were ever enrolled, in that order."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    sites: tuple[Site, ...] = ()

    def with_site(self, changed: Site) -> "Roster":
        """Return the roster with `changed` in the place of the entry with the same transport key, or at the end."""
        others = [site for site in self.sites if site.transport_key != changed.transport_key]
        if len(others) == len(self.sites):
            return self.model_copy(update={"sites": (*self.sites, changed)})
        same = changed.transport_key
        replaced = tuple(changed if site.transport_key == same else site for site in self.sites)
        return self.model_copy(update={"sites": replaced})


def enrolled(roster: Roster, enrolment: Enrolment, now: datetime) -> tuple[Roster, Site]:
    """Return the roster with a new site, and that site. Raises UserError: its name or a key of it is there already."""
    key = normal_key(enrolment.transport_key)
    for site in roster.sites:
        _check_free(site, enrolment, key)
    site = Site(name=enrolment.site, transport_key=key, signing_key=enrolment.signing_key, enrolled=now)
    return roster.with_site(site), site


def _check_free(site: Site, enrolment: Enrolment, key: str) -> None:
    is_same = transport_pem(site.transport_key) == transport_pem(key) or site.signing_key == enrolment.signing_key
    if is_same and not site.active:
        raise UserError(f"a key of {enrolment.site!r} is that of {site.name!r}, which was revoked; it needs new keys")
    if is_same:
        raise UserError(f"a key of {enrolment.site!r} is enrolled already, as site {site.name!r}; leave its file out")
    if site.active and site.name == enrolment.site:
        raise UserError(
            f"a site {site.name!r} is enrolled already, with another key; revoke it first, or use another name"
        )


def normal_key(transport_key: str) -> str:
    """Return an OpenSSH public key without its comment."""
    return " ".join(transport_key.split()[:2])


def revoked(roster: Roster, name: str, now: datetime) -> tuple[Roster, Site]:
    """Return the roster with the site `name` revoked, and that site. Raises UserError: there is no such site."""
    for site in roster.sites:
        if site.active and site.name == name:
            changed = site.model_copy(update={"revoked": now})
            return roster.with_site(changed), changed
    names = ", ".join(sorted(active_names(roster))) or "none"
    raise UserError(f"no site {name!r} is enrolled; enrolled are: {names}")


def active_names(roster: Roster) -> set[str]:
    """Return the names of the sites that may take part."""
    return {site.name for site in roster.sites if site.active}


def site_of_key(roster: Roster) -> dict[bytes, str]:
    """Return the site of each enrolled transport key: in PEM as Flower's grid shows it, without a last newline."""
    return {transport_pem(site.transport_key).strip(): site.name for site in roster.sites if site.active}


def keys_of(coordinator: Path) -> dict[bytes, str]:
    """Return `site_of_key` of the roster as it is now in a coordinator's folder."""
    return site_of_key(read_roster(CoordinatorFolder(coordinator)))


def signers_of(coordinator: Path) -> dict[str, str]:
    """Return the public signing key of each site that is enrolled now in a coordinator's folder."""
    return {site.name: site.signing_key for site in read_roster(CoordinatorFolder(coordinator)).sites if site.active}


def enrolled_names(coordinator: Path) -> set[str]:
    """Return the names of the sites that are enrolled now in a coordinator's folder."""
    return active_names(read_roster(CoordinatorFolder(coordinator)))


def read_roster(folder: CoordinatorFolder) -> Roster:
    """Return the roster. Raises UserError: it is missing or damaged; nobody is let in on a guess."""
    try:
        return Roster.model_validate(json.loads(folder.roster.read_bytes()))
    except OSError:
        raise UserError(
            f"{folder.path} has no roster; is it a coordinator's folder? fedpeft server init makes one"
        ) from None
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UserError(f"{folder.roster} is damaged at {place}; put back an older copy of it") from None
    except ValueError:
        raise UserError(f"{folder.roster} is not JSON; put back an older copy of it") from None


def write_roster(folder: CoordinatorFolder, roster: Roster) -> None:
    """Write the roster."""
    write_bytes(folder.roster, (roster.model_dump_json(indent=2) + "\n").encode(), mode=0o600)


@contextmanager
def roster_lock(folder: CoordinatorFolder) -> Iterator[None]:
    """Hold the roster, so that two commands do not lose each other's change."""
    read_roster(folder)  # no lock file is left in a folder that is no coordinator's
    check_owner(folder.path)
    with exclusive(folder.path / ".roster.lock"):
        yield


def now_utc() -> datetime:
    """Return the time in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)
