"""`fedpeft server run|resume|follow|runs|logs|cancel`: runs over real sites, at the coordinator."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.following import EventReader
    from server.run_folder import RunFolder, RunState

Folder = Annotated[Path, typer.Argument(help="The coordinator's folder.")]
Name = Annotated[str, typer.Argument(help="The run's name; `fedpeft server runs` lists them.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Detach = Annotated[bool, typer.Option("--detach", help="Submit, and do not wait for the end.")]


def register(server: typer.Typer) -> None:
    """Add the commands to `fedpeft server`."""
    for command in (run, resume, follow, runs, logs, cancel):
        server.command()(command)


def run(
    folder: Folder,
    bundle: Annotated[Path, typer.Argument(help="The prepared study: `fedpeft study prepare` makes it.")],
    name: Annotated[str | None, typer.Option(help="A name for the run.")] = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> None:
    """Play a study over its enrolled sites, and follow it to the end."""
    from common.interrupts import saying_on_interrupt

    with saying_on_interrupt("interrupted; no run was submitted"):
        from server.coordinator.folder import CoordinatorFolder
        from server.coordinator.registration import check_running
        from server.coordinator.roster import enrolled_names
        from server.submission import new_run, submit_new

        enrolled = enrolled_names(folder)
        check_running(folder)
        made = new_run(CoordinatorFolder(folder), bundle, enrolled=enrolled, name=name)
    with saying_on_interrupt(_may_begin(folder, made)):
        submit_new(made, _flower(folder))
    _follow(folder, made, detach=detach, as_json=as_json)


def resume(folder: Folder, name: Name, detach: Detach = False, as_json: AsJson = False) -> None:
    """Go on with a run that was stopped, cancelled or killed, from its last complete round."""
    from common.interrupts import saying_on_interrupt
    from server.coordinator.registration import check_running
    from server.submission import refreshed_state, submit

    found = _find(folder, name)
    check_running(folder)
    with saying_on_interrupt(_may_begin(folder, found)):
        refreshed_state(found, _flower(folder))
        submit(found, _flower(folder))
    _follow(folder, found, detach=detach, as_json=as_json)


def follow(folder: Folder, name: Name, as_json: AsJson = False) -> None:
    """Watch a run that is under way."""
    _follow(folder, _find(folder, name), detach=False, as_json=as_json)


def runs(folder: Folder, as_json: AsJson = False) -> None:
    """List the runs and where they are."""
    import json

    from server.coordinator.folder import CoordinatorFolder
    from server.coordinator.registration import link_is_up
    from server.run_folder import all_runs
    from server.submission import states

    coordinator = CoordinatorFolder(folder)
    found = states(all_runs(coordinator.runs), _flower(folder) if link_is_up(coordinator) else None)
    if as_json:
        typer.echo(json.dumps([{"run": name, **vars(state)} for name, state in found.items()]))
        return
    for name, state in found.items():
        typer.echo(f"{name:40} {state.state:10} {state.reason or ''}".rstrip())


def logs(
    folder: Folder,
    name: Name,
    lines: Annotated[int, typer.Option(min=1, help="So many lines from the end.")] = 200,
) -> None:
    """Print the log of a run's server process."""
    found = _find(folder, name)
    text = found.log.read_text(encoding="utf-8", errors="replace") if found.log.exists() else ""
    typer.echo("\n".join(text.splitlines()[-lines:]))


def cancel(folder: Folder, name: Name) -> None:
    """End a run; it can be resumed from its last complete round."""
    from server import submission

    submission.cancel(_find(folder, name), _flower(folder))
    typer.echo(f"cancelled; go on with: fedpeft server resume {folder} {name}")


def _flower(folder: Path) -> "submission.Flower":  # type: ignore[name-defined] # noqa: F821 # a late import
    from functools import partial

    from server.coordinator.flower_command import flower

    return partial(flower, folder)


def _find(folder: Path, name: str) -> "RunFolder":
    from server.coordinator.folder import CoordinatorFolder
    from server.run_folder import find_run

    return find_run(CoordinatorFolder(folder).runs, name)


def _follow(folder: Path, found: "RunFolder", *, detach: bool, as_json: bool) -> None:
    from common.interrupts import saying_on_interrupt
    from server.following import EventReader

    if detach:
        typer.echo(f"submitted run {found.name}; watch it with: {_command('follow', folder, found)}")
        return
    with saying_on_interrupt(f"the run goes on; {_next_steps(folder, found)}"):
        state = _watched(folder, EventReader(found), visible=not as_json)
    _report(found, state, as_json=as_json)


def _may_begin(folder: Path, found: "RunFolder") -> str:
    return (
        f"interrupted while run {found.name} was handed over; it may begin all the same: {_next_steps(folder, found)}"
    )


def _next_steps(folder: Path, found: "RunFolder") -> str:
    return f"watch it with: {_command('follow', folder, found)}; end it with: {_command('cancel', folder, found)}"


def _command(verb: str, folder: Path, found: "RunFolder") -> str:
    import shlex

    return shlex.join(["fedpeft", "server", verb, str(folder), found.name])


def _watched(folder: Path, reader: "EventReader", *, visible: bool) -> "RunState":
    import sys
    from functools import partial

    from server.following import follow as follow_events
    from server.submission import refreshed_state
    from server.terminal import progress_bars

    with progress_bars(visible=visible and sys.stderr.isatty()) as listener:
        return follow_events(reader, listener.on_event, partial(refreshed_state, reader.run, _flower(folder)))


def _report(found: "RunFolder", state: "RunState", *, as_json: bool) -> None:
    import json

    from common.errors import ParticipationError, UserError
    from server.terminal import print_outcome

    if state.state == "finished":
        print_outcome(json.loads(found.results.read_bytes()), found.path, as_json=as_json)
    elif state.state == "stopped":
        raise ParticipationError(f"run {found.name} stopped: {state.reason}")
    else:
        raise UserError(f"run {found.name} {state.state}: {state.reason}")
