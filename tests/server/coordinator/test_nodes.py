"""A real SuperLink and a roster that disagree, as a command that was cut short, or an older copy, leaves them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common import supervision
from common.enrolment import read_enrolment
from common.errors import UserError
from common.keys import transport_pem
from server.coordinator.flower_command import write_connection
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.initialise import initialise
from server.coordinator.nodes import nodes_by_key
from server.coordinator.ports import choose_ports
from server.coordinator.programs import write_programs
from server.coordinator.registration import await_link, enroll, node_states, revoke, synchronise
from server.coordinator.roster import Roster, Site, enrolled, now_utc, read_roster, write_roster
from server.coordinator.settings import read_settings

pytestmark = pytest.mark.processes
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A coordinator of which only the SuperLink runs."""
    path = tmp_path_factory.mktemp("coordinator") / "server"
    initialise(path, hosts=["localhost"], listen="127.0.0.1")
    folder = CoordinatorFolder(path)
    ports = choose_ports(folder)
    write_connection(folder, ports)
    superlink = write_programs(folder, read_settings(folder.settings), ports)[0]
    supervision.start(folder.run, [superlink], logs=folder.logs)
    try:
        await_link(path)
        yield path
    finally:
        supervision.stop(folder.run)


@pytest.fixture
def coordinator(link: Path) -> Path:
    write_roster(CoordinatorFolder(link), Roster())
    return link


def note(coordinator: Path, *sites: Site) -> None:
    """Write a roster of these sites only."""
    write_roster(CoordinatorFolder(coordinator), Roster(sites=sites))


def noted(coordinator: Path) -> Site:
    (site,) = read_roster(CoordinatorFolder(coordinator)).sites
    return site


def unaware(site: Site) -> Site:
    """Return the site as it was before its registration was noted."""
    return site.model_copy(update={"registered": False, "node_id": None})


def test_a_node_is_known_by_its_key(coordinator: Path, enrolment_file: Make) -> None:
    file = enrolment_file("north")
    site = enroll(coordinator, file)
    node = nodes_by_key(coordinator)[transport_pem(read_enrolment(file).transport_key).strip()]
    assert (node.node_id, node.status, node.is_gone) == (site.node_id, "registered", False)


def test_a_registration_that_was_not_noted_is_adopted(coordinator: Path, enrolment_file: Make) -> None:
    others = [enroll(coordinator, enrolment_file(name)) for name in ("south", "west")]
    site = enroll(coordinator, enrolment_file("north"))
    before = node_states(coordinator)
    note(coordinator, *others, unaware(site))
    synchronise(coordinator)
    assert read_roster(CoordinatorFolder(coordinator)).sites == (*others, site)
    assert node_states(coordinator) == before


def test_a_site_that_the_roster_lost_is_enrolled_again(coordinator: Path, enrolment_file: Make) -> None:
    file = enrolment_file("north")
    site = enroll(coordinator, file)
    note(coordinator)
    assert enroll(coordinator, file).node_id == site.node_id
    assert noted(coordinator).registered


def test_a_node_that_was_unregistered_before_counts_as_unregistered(coordinator: Path, enrolment_file: Make) -> None:
    enroll(coordinator, enrolment_file("north"))
    site = revoke(coordinator, "north")
    note(coordinator, site.model_copy(update={"registered": True}))
    synchronise(coordinator)
    assert noted(coordinator) == site


def test_a_node_that_was_never_there_counts_as_unregistered(coordinator: Path, enrolment_file: Make) -> None:
    _, site = enrolled(Roster(), read_enrolment(enrolment_file("north")), now_utc())
    note(coordinator, site.model_copy(update={"revoked": site.enrolled, "registered": True, "node_id": "12345"}))
    synchronise(coordinator)
    assert not noted(coordinator).registered


def test_a_site_that_an_older_roster_has_can_be_revoked_again(coordinator: Path, enrolment_file: Make) -> None:
    older = enroll(coordinator, enrolment_file("north"))
    revoke(coordinator, "north")
    note(coordinator, older)
    assert not revoke(coordinator, "north").registered


def test_a_registration_that_was_not_noted_is_revoked(coordinator: Path, enrolment_file: Make) -> None:
    site = enroll(coordinator, enrolment_file("north"))
    note(coordinator, unaware(site).model_copy(update={"revoked": site.enrolled}))
    synchronise(coordinator)
    assert node_states(coordinator)[str(site.node_id)] == "unregistered"


def test_a_key_that_was_revoked_is_refused_and_nothing_is_written(coordinator: Path, enrolment_file: Make) -> None:
    file = enrolment_file("north")
    enroll(coordinator, file)
    revoke(coordinator, "north")
    note(coordinator)
    with pytest.raises(UserError, match=r"takes it never again.*enroll it with new keys"):
        enroll(coordinator, file)
    assert read_roster(CoordinatorFolder(coordinator)) == Roster()


def test_a_site_whose_key_is_spent_stops_a_start_until_it_is_revoked(coordinator: Path, enrolment_file: Make) -> None:
    site = enroll(coordinator, enrolment_file("north"))
    revoke(coordinator, "north")
    note(coordinator, unaware(site))
    with pytest.raises(UserError, match="revoke north if it is enrolled"):
        synchronise(coordinator)
    revoke(coordinator, "north")
    synchronise(coordinator)
    assert not noted(coordinator).registered


def test_a_site_is_on_the_roster_before_the_superlink_has_it(coordinator: Path, enrolment_file: Make) -> None:
    folder = CoordinatorFolder(coordinator)
    config = folder.flower_home / "config.toml"
    told = config.read_bytes()
    config.write_text("no TOML")
    try:
        with pytest.raises(UserError, match=r"north is enrolled; but .*tell it again: fedpeft server sync"):
            enroll(coordinator, enrolment_file("north"))
    finally:
        config.write_bytes(told)
    assert not noted(coordinator).registered
    synchronise(coordinator)
    site = noted(coordinator)
    assert node_states(coordinator)[str(site.node_id)] == "registered"
