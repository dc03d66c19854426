"""Who is on the roster: by key, once, until revoked."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from common.enrolment import Enrolment, read_enrolment
from common.errors import UserError
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.roster import (
    Roster,
    active_names,
    enrolled,
    enrolled_names,
    keys_of,
    read_roster,
    revoked,
    site_of_key,
    write_roster,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 2, 1, tzinfo=UTC)
Make = Callable[..., Path]


@pytest.fixture
def enrolment(enrolment_file: Make) -> Callable[..., Enrolment]:
    return lambda *names, **options: read_enrolment(enrolment_file(*names, **options))


def add(roster: Roster, enrolment: Enrolment) -> Roster:
    return enrolled(roster, enrolment, NOW)[0]


def test_a_site_is_found_by_the_key_in_the_form_of_flowers_grid(enrolment: Callable[..., Enrolment]) -> None:
    north, south = enrolment("north"), enrolment("south")
    roster = add(add(Roster(), north), south)
    public = serialization.load_ssh_public_key(north.transport_key.encode())
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert site_of_key(roster)[pem.strip()] == "north"
    assert sorted(site_of_key(roster).values()) == ["north", "south"]


def test_a_name_is_enrolled_once(enrolment: Callable[..., Enrolment], enrolment_file: Make, tmp_path: Path) -> None:
    roster = add(Roster(), enrolment("north"))
    enrolment("other")
    with pytest.raises(UserError, match="'north' is enrolled already, with another key; revoke it first"):
        add(roster, enrolment("north", like="other"))


def test_a_key_is_enrolled_once_whatever_its_comment(enrolment: Callable[..., Enrolment]) -> None:
    north = enrolment("north")
    roster = add(Roster(), north)
    again = north.model_copy(update={"site": "south", "transport_key": f"{north.transport_key.strip()} a comment"})
    with pytest.raises(UserError, match="enrolled already, as site 'north'"):
        add(roster, again)
    stranger = enrolment("west").model_copy(update={"signing_key": north.signing_key})
    with pytest.raises(UserError, match="enrolled already, as site 'north'"):
        add(roster, stranger)


def test_a_revoked_site_is_nobody_and_its_key_never_comes_back(enrolment: Callable[..., Enrolment]) -> None:
    north, south = enrolment("north"), enrolment("south")
    roster, site = revoked(add(add(Roster(), north), south), "north", LATER)
    assert site.revoked == LATER
    assert list(site_of_key(roster).values()) == ["south"]
    assert active_names(roster) == {"south"}
    with pytest.raises(UserError, match="that of 'north', which was revoked; it needs new keys"):
        add(roster, north)
    with pytest.raises(UserError, match="no site 'north' is enrolled; enrolled are: south"):
        revoked(roster, "north", LATER)


def test_a_revoked_name_may_come_back_with_new_keys(enrolment: Callable[..., Enrolment]) -> None:
    roster, _ = revoked(add(Roster(), enrolment("north")), "north", LATER)
    enrolment("fresh")
    roster = add(roster, enrolment("north", like="fresh"))
    assert [site.active for site in roster.sites] == [False, True]
    assert list(site_of_key(roster).values()) == ["north"]


def test_a_roster_is_read_as_it_was_written(tmp_path: Path, enrolment: Callable[..., Enrolment]) -> None:
    folder, roster = CoordinatorFolder(tmp_path), add(Roster(), enrolment("north"))
    write_roster(folder, roster)
    assert read_roster(folder) == roster
    assert keys_of(tmp_path) == site_of_key(roster)
    assert enrolled_names(tmp_path) == {"north"}
    assert folder.roster.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2}', '{"format": 1, "sites": [{}]}'])
def test_a_damaged_roster_lets_nobody_in(tmp_path: Path, content: str) -> None:
    (tmp_path / "roster.json").write_text(content)
    with pytest.raises(UserError, match="put back an older copy"):
        keys_of(tmp_path)


def test_a_folder_without_a_roster_is_no_coordinators(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no roster"):
        keys_of(tmp_path)
