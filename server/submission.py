"""A run over real sites: check that the bundle's sites are enrolled, lay out a folder, hand it to the SuperLink."""

import json
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any  # what Flower's command prints is JSON

from common import keys
from common.bundle import Bundle, read_bundle
from common.endorsement import FILE as ENDORSEMENT
from common.endorsement import endorse, read_endorsement
from common.errors import CheckpointError, StudyError, UserError
from common.names import NAME
from common.ownership import check_owner
from common.thin_app import thin_app
from server.coordinator.flower_command import FlowerTimeoutError, UnknownRunError
from server.coordinator.folder import CoordinatorFolder
from server.run_folder import ENDED, RESUME, RunFolder, RunState

Flower = Callable[..., Any]
"""Runs a command of `flwr` against this coordinator's SuperLink and returns the JSON that it prints."""


def new_run(coordinator: CoordinatorFolder, bundle_folder: Path, *, enrolled: set[str], name: str | None) -> RunFolder:
    """Sign the bundle if nobody has, and lay out the folder of a new run with a copy of it.

    Raises:
        UserError: the bundle is damaged or signed by another coordinator, its sites are not all enrolled, the name is
            taken, the disk is full.
    """
    check_owner(coordinator.path)
    bundle = read_bundle(bundle_folder)
    _check_enrolled(bundle, enrolled)
    run = RunFolder(coordinator.runs / _name(coordinator, bundle, name))
    _sign(coordinator, bundle_folder, bundle)
    with _on_disk(f"run {run.name!r} cannot be laid out"):
        _lay_out(run, bundle_folder)
    return run


def _lay_out(run: RunFolder, bundle_folder: Path) -> None:
    """Make the run's folder, whole or not at all."""
    beside = RunFolder(run.path.with_name(f".{run.name}.{secrets.token_hex(6)}"))
    try:
        beside.path.mkdir(parents=True, mode=0o700)
        shutil.copytree(bundle_folder, beside.bundle)
        thin_app(beside.app)
        beside.path.rename(run.path)
    except BaseException:
        shutil.rmtree(beside.path, ignore_errors=True)
        raise


@contextmanager
def _on_disk(what: str) -> Iterator[None]:
    """Say a full disk, or one that does not let us, in words."""
    try:
        yield
    except OSError as error:
        why = error.strerror or (error.args[0][0][2] if isinstance(error, shutil.Error) else type(error).__name__)
        raise UserError(f"{what}: {why}; make room, or give this user the right") from None


def _check_enrolled(bundle: Bundle, enrolled: set[str]) -> None:
    sites = bundle.study.federation.sites
    if not sites:
        raise StudyError("the study names no sites; give federation.sites the names of those that may take part")
    missing = sorted(set(sites) - enrolled)
    if missing:
        raise UserError(
            f"the study names {', '.join(missing)}, not enrolled here; enrolled are: "
            f"{', '.join(sorted(enrolled)) or 'none'}; fedpeft server enroll adds a site"
        )


def _name(coordinator: CoordinatorFolder, bundle: Bundle, name: str | None) -> str:
    chosen = name or f"{bundle.study.name[:40]}-{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(3)}"
    if not NAME.fullmatch(chosen):
        raise UserError(f"--name {chosen!r}: use up to 63 letters, digits, '.', '_' and '-', a letter or digit first")
    if (coordinator.runs / chosen).exists():
        raise CheckpointError(
            f"there is a run {chosen!r} already; go on with: fedpeft server resume, or take another --name"
        )
    return chosen


def _sign(coordinator: CoordinatorFolder, folder: Path, bundle: Bundle) -> None:
    """Sites approve what this coordinator signed; a bundle that another one signed is not ours to run."""
    key = keys.read_signing_key(coordinator.signing_key)
    if not (folder / ENDORSEMENT).exists():
        endorse(folder, bundle, key)
    found = read_endorsement(folder, bundle)
    if found.coordinator != keys.public_text(key):
        raise UserError(f"bundle {folder} is signed by another coordinator ({keys.fingerprint(found.coordinator)})")


def submit(run: RunFolder, flower: Flower) -> None:
    """Hand a run to the SuperLink, from the start or from its checkpoint.

    Raises:
        UserError: the run is complete or under way. Whatever `flower` raises.
    """
    if run.results.exists():
        raise CheckpointError(f"run {run.name!r} is complete: {run.results}")
    before = run.state() if run.state_file.exists() else None
    if before is not None and before.state not in ENDED:
        raise CheckpointError(f"run {run.name!r} is under way; fedpeft server cancel ends it")
    _hand_over(run, flower, if_refused=partial(_restore, run, before))


def submit_new(run: RunFolder, flower: Flower) -> None:
    """Hand a new run to the SuperLink; where it is surely not taken, nothing of the run is left."""
    _hand_over(run, flower, if_refused=partial(shutil.rmtree, run.path))


def _hand_over(run: RunFolder, flower: Flower, *, if_refused: Callable[[], None]) -> None:
    """Note the run as submitted, submit it, and note its id.

    `if_refused` undoes the first. After a time-out or Ctrl-C the run may have been taken, and stays.
    """
    config = f"folder={json.dumps(str(run.path.resolve()))}"
    try:
        with _on_disk(f"run {run.name!r} cannot be noted"):
            run.note(RunState("submitted", flower=""))  # before its process can look for it
        answer = flower("run", str(run.app.resolve()), "local", "-c", config)
    except FlowerTimeoutError as error:
        raise UserError(
            f"{error}; run {run.name!r} may begin all the same: fedpeft server follow shows it, cancel ends it"
        ) from None
    except UserError:
        if_refused()
        raise
    with _on_disk(f"run {run.name!r} is submitted, but its id cannot be noted"):
        run.change(lambda state: replace(state, flower=state.flower or str(answer["run-id"])))


def _restore(run: RunFolder, before: RunState | None) -> None:
    if before is None:
        run.state_file.unlink(missing_ok=True)
    elif run.state() != before:
        run.note(before)


def cancel(run: RunFolder, flower: Flower) -> None:
    """End a run at the SuperLink; what is in its checkpoint stays, and it can be resumed.

    A run whose id is not known yet has no process; one that starts later finds it cancelled, and ends.
    """
    asked = refreshed_state(run, flower)

    def cancelled(state: RunState) -> RunState:
        if state.state == "finished":
            raise CheckpointError(f"run {run.name!r} has ended already: {state.state}")
        if state.flower != asked.flower:
            raise CheckpointError(f"run {run.name!r} has just begun; cancel it again")
        return replace(state, state="cancelled", reason="by fedpeft server cancel")

    if asked.state in ENDED:
        raise CheckpointError(f"run {run.name!r} has ended already: {asked.state}")
    if asked.flower:
        flower("stop", asked.flower, "local")
    run.change(cancelled)


def refreshed_state(run: RunFolder, flower: Flower) -> RunState:
    """Return where a run is; one whose server process is gone is noted as failed, by what the SuperLink says."""
    asked = run.state()
    if asked.state in ENDED or not asked.flower:
        return asked
    reason = _end_at_superlink(asked.flower, flower)

    def failed(state: RunState) -> RunState:
        if state.state in ENDED or state.flower != asked.flower:  # it ended in good order, or was resumed, meanwhile
            return state
        return replace(state, state="failed", reason=f"{reason}; {RESUME}")

    return run.state() if reason is None else run.change(failed)


def states(runs: Iterable[RunFolder], flower: Flower | None) -> dict[str, RunState]:
    """Return where each run is, by its name, as the SuperLink knows it; without its answer, as last noted."""
    return {run.name: run.state() if flower is None else _state_or_last(run, flower) for run in runs}


def _state_or_last(run: RunFolder, flower: Flower) -> RunState:
    try:
        return refreshed_state(run, flower)
    except UserError:
        return run.state()  # says itself what is wrong with the folder


def _end_at_superlink(run_id: str, flower: Flower) -> str | None:
    """Return why the SuperLink plays a run no more; None: it does."""
    try:
        answer = flower("list", "local", "--run-id", run_id)
    except UnknownRunError:
        return "the SuperLink does not know it: its state was lost"
    statuses = [str(found.get("status", "")) for found in answer.get("runs", ())]
    if any(status.startswith("finished") for status in statuses):
        return "its server process ended; server.log says how far it came"
    return None
