"""The link is cut for a minute, a trainer hangs, a key is not enrolled: the run ends with the right adapter."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from client.initialise import enrolment_path, initialise
from client.ports import choose_ports
from client.processes import supernode_command
from client.site_folder import SiteFolder
from common import supervision
from common.leftovers import is_alive
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.registration import enroll, revoke, site_states

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.mark.parametrize(("study", "seconds"), [("brief", 5.0), ("strict", 60.0)])
def test_a_link_that_is_cut_while_a_site_is_asked(federation: Any, study: str, seconds: float) -> None:
    """What was lost is asked again. After two missed heartbeats a site has failed: the run may have to be resumed."""
    run = federation.submit(study, f"cut-{seconds:.0f}")
    federation.wait_for_event(run, "round_started", round_number=1)
    federation.wire.cut()
    Event().wait(seconds)  # the fault itself: so long the link is away
    federation.wire.mend()
    if federation.ended(run, deadline_s=240).state == "stopped":
        assert "north" in run.state().reason
        assert "resume the run when the sites are back" in run.state().reason
        federation.wait(federation.all_online, what="three sites online", deadline_s=150)
        federation.resume(run)
    federation.finished(run)


@contextmanager
def impatient_watch(federation: Any, site: str) -> Iterator[None]:
    """Let a site's watch look every second; its own patience is minutes."""
    run = federation.sites[site].run
    path = run / "watch.json"
    before = path.read_text()
    short = {"interval_s": 1.0, "patience_s": 1.0, "failures": 3, "grace_s": 10.0}
    path.write_text(json.dumps({**json.loads(before), **short}))
    supervision.restart(run, "watch")
    try:
        yield
    finally:
        path.write_text(before)
        supervision.restart(run, "watch")


def test_a_trainer_that_hangs_is_restarted_and_asked_again(federation: Any) -> None:
    with impatient_watch(federation, "east"):
        run = federation.submit("strict", "hang")
        federation.wait_for_event(run, "round_started", round_number=1)
        # At work or before it: with the base model loaded, training a tiny one is over before it could be seen.
        hung = federation.pid("trainer", "east")
        os.kill(hung, signal.SIGSTOP)
        federation.finished(run)
        assert not is_alive(hung)
        assert federation.pid("trainer", "east") != hung


@contextmanager
def supernode_of(folder: SiteFolder) -> Iterator["subprocess.Popen[bytes]"]:
    environ = {**os.environ, "FLWR_HOME": str(folder.run / "flwr-home")}
    with (folder.logs / "supernode.log").open("wb") as log:
        process = subprocess.Popen(
            supernode_command(folder, choose_ports(folder)), env=environ, stdout=log, stderr=log, cwd=folder.path
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def stranger(federation: Any, name: str) -> SiteFolder:
    folder = SiteFolder(federation.coordinator.parent / name)
    initialise(folder, site=name, join=CoordinatorFolder(federation.coordinator).join)
    return folder


def known(federation: Any) -> dict[str, str | None]:
    return {each.site.name: each.node for each in site_states(Path(federation.coordinator))}


def test_a_key_that_was_never_enrolled_is_not_let_in(federation: Any) -> None:
    folder = stranger(federation, "stranger")
    with supernode_of(folder) as process:
        run = federation.submit("strict", "impostor")
        federation.wait(lambda: process.poll() is not None, what="end of the stranger's SuperNode")
        federation.finished(run)
    assert "stranger" not in known(federation)


def test_a_key_that_is_revoked_is_let_in_no_more(federation: Any) -> None:
    folder = stranger(federation, "revoked")
    enroll(federation.coordinator, enrolment_path(folder, "revoked"))
    with supernode_of(folder) as process:
        federation.wait(lambda: known(federation)["revoked"] == "online", what="the site online")
        revoke(federation.coordinator, "revoked")
        federation.wait(lambda: process.poll() is not None, what="end of the revoked SuperNode", deadline_s=120)
    with supernode_of(folder) as process:
        federation.wait(lambda: process.poll() is not None, what="end of the SuperNode's second attempt")
