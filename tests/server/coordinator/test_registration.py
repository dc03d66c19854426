"""The roster and a SuperLink that is down: what is decided now is told later."""

from collections.abc import Callable
from pathlib import Path

import pytest

from common.enrolment import read_enrolment
from common.errors import UserError
from common.keys import fingerprint
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.initialise import initialise
from server.coordinator.registration import await_link, enroll, revoke, site_states
from server.coordinator.roster import read_roster

Make = Callable[..., Path]


@pytest.fixture
def coordinator(tmp_path: Path) -> Path:
    initialise(tmp_path / "server", hosts=["localhost"], listen="127.0.0.1")
    return tmp_path / "server"


def test_a_site_waits_for_the_start(coordinator: Path, enrolment_file: Make) -> None:
    site = enroll(coordinator, enrolment_file("north"))
    assert (site.name, site.registered, site.node_id) == ("north", False, None)
    (state,) = site_states(coordinator)
    assert (state.site, state.node) == (site, None)


def test_a_site_that_was_never_registered_is_simply_revoked(coordinator: Path, enrolment_file: Make) -> None:
    enroll(coordinator, enrolment_file("north"))
    assert not revoke(coordinator, "north").active
    assert [site.active for site in read_roster(CoordinatorFolder(coordinator)).sites] == [False]


def test_a_refused_enrolment_changes_nothing(coordinator: Path, enrolment_file: Make) -> None:
    enroll(coordinator, enrolment_file("north"))
    before = read_roster(CoordinatorFolder(coordinator))
    enrolment_file("other")
    with pytest.raises(UserError, match="enrolled already"):
        enroll(coordinator, enrolment_file("north", like="other", file="second"))
    assert read_roster(CoordinatorFolder(coordinator)) == before


def test_the_fingerprint_read_out_must_be_that_of_the_file(coordinator: Path, enrolment_file: Make) -> None:
    file = enrolment_file("north")
    found = fingerprint(read_enrolment(file).signing_key)
    with pytest.raises(UserError, match="it is not enrolled"):
        enroll(coordinator, file, expect=found[:-1] + ("0" if found[-1] != "0" else "1"))
    assert read_roster(CoordinatorFolder(coordinator)).sites == ()
    assert enroll(coordinator, file, expect=f" {found.upper().replace(' ', '')} ").name == "north"


def test_nobody_waits_for_a_coordinator_that_was_never_started(coordinator: Path) -> None:
    with pytest.raises(UserError, match="was never started"):
        await_link(coordinator)


def test_another_folder_gets_no_lock_file(tmp_path: Path, enrolment_file: Make) -> None:
    file = enrolment_file("north")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no roster"):
        enroll(tmp_path / "empty", file)
    assert list((tmp_path / "empty").iterdir()) == []
