"""Ctrl-C in the commands that wait, as real processes: exit 130 and one line that says what goes on and what to do."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from client.initialise import enrolment_path, initialise
from client.site_folder import SiteFolder
from common import supervision
from common.leftovers import find_leftovers
from common.preparation import prepare
from server.run_folder import RunFolder

pytestmark = pytest.mark.processes
FEDPEFT = str(Path(sys.executable).parent / "fedpeft")


@contextmanager
def begun(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Begin a command, and kill it if the test does not end it."""
    command = [FEDPEFT, *arguments]
    # Whoever runs the tests in the background has them ignore Ctrl-C, and a command would do as they do.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: "subprocess.Popen[str]") -> str:
    """Press Ctrl-C, and return the one line of stderr."""
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, said.count("\n")) == (130, 1), said
    return said


def test_a_site_whose_start_is_interrupted_does_not_run(tmp_path: Path, join_file: Path, processes: Any) -> None:
    site = SiteFolder(tmp_path / "site")
    initialise(site, site="north", join=join_file)

    def has_begun() -> bool:  # the trainer is a process; the SuperNode reaches nobody, and the start would go on
        return "trainer" in supervision.states(site.run)

    with begun("site", "start", str(site.path)) as start:
        processes.wait_until(has_begun, what="the trainer", deadline_s=60)
        said = interrupted(start)
    look = f"fedpeft site status {site.path} tells how it is"
    assert said == f"the start was interrupted, and what had begun is stopped; {look}\n"
    assert not supervision.is_running(site.run)
    assert find_leftovers(str(site.run.resolve())) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_goes_on_where_its_command_is_interrupted(
    tmp_path: Path,
    tiny_model: Path,
    make_study: Callable[..., Any],
    processes: Any,
    free_port: Callable[[], int],
) -> None:
    coordinator, bundle, site = tmp_path / "c", tmp_path / "bundle", SiteFolder(tmp_path / "north")
    prepare(make_study(f"federation.sites={json.dumps(['north'])}"), tiny_model, bundle)
    processes.call("fedpeft", "server", "init", str(coordinator), "--host", "127.0.0.1", "--port", str(free_port()))
    initialise(site, site="north", join=coordinator / "join.toml")
    processes.call("fedpeft", "server", "start", str(coordinator), deadline_s=120)
    try:
        processes.call("fedpeft", "server", "enroll", str(coordinator), str(enrolment_path(site, "north")))
        check_interrupts(coordinator, bundle, processes)
    finally:
        processes.call("fedpeft", "server", "stop", str(coordinator))


def check_interrupts(coordinator: Path, bundle: Path, processes: Any) -> None:
    """The run waits for its site, which does not run, so it lives for as long as this needs."""
    run = RunFolder(coordinator / "runs" / "first")
    steps = [f"fedpeft server {verb} {coordinator} first" for verb in ("follow", "cancel")]
    ways_on = f"watch it with: {steps[0]}; end it with: {steps[1]}\n"
    with begun("server", "run", str(coordinator), str(bundle), "--name", "first") as command:
        processes.wait_until(run.state_file.exists, what="state", deadline_s=60)
        said = interrupted(command)
    assert said == f"interrupted while run first was handed over; it may begin all the same: {ways_on}"
    if run.state().state == "submitted" and not run.state().flower:  # it was not taken, or will be in a moment
        processes.call("fedpeft", "server", "cancel", str(coordinator), "first")
    with begun("server", "run", str(coordinator), str(bundle), "--name", "second") as command:
        second = RunFolder(coordinator / "runs" / "second")
        processes.wait_until(
            lambda: second.state_file.exists() and second.state().state == "running", what="run", deadline_s=120
        )
        said = interrupted(command)
    assert said == f"the run goes on; {ways_on.replace('first', 'second')}"
    assert second.state().state == "running"
    processes.call("fedpeft", "server", "cancel", str(coordinator), "second")
