"""How the site is: its processes and whether they answer, as `fedpeft site status` says, and what stands in the way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final  # a status is JSON

from client.dashboard.cells import DASH, Cell, Note, Table, table
from client.dashboard.chain import said
from client.site_folder import SiteFolder
from common.errors import UserError

_WORDS: Final[Mapping[bool | None, Cell]] = {
    True: Cell("answers", tone="good"),
    False: Cell("does not answer", tone="bad"),
    None: Cell(DASH, tone="muted"),
}


@dataclass(frozen=True)
class Condition:
    """A table of processes, None where there is none to tell of, and notes."""

    processes: Table | None
    notes: tuple[Note, ...]


def condition(folder: SiteFolder) -> Condition:
    """Ask the processes and the coordinator; this may take seconds where something does not answer."""
    from client.obstacles import obstacles
    from client.processes import site_status
    from client.reach import ANSWERS, coordinator_state

    try:
        status = site_status(folder)
        reached = coordinator_state(folder) if status["running"] else None
        notes = [Note(sentence(status), _tone(status))]
        if reached is not None:
            notes.append(Note(reached, "good" if reached == ANSWERS else "warn"))
        notes += [Note(f"In the way: {text}", "bad") for text in obstacles(folder)]
        return Condition(processes_table(status) if status["running"] else None, tuple(notes))
    except (UserError, OSError) as error:
        return Condition(None, (Note(f"How the processes are is not known: {said(error)}", "bad"),))


def processes_table(status: Mapping[str, Any]) -> Table:
    """Return the processes; those that systemd runs have neither state nor pid here."""
    return table("Processes", ["Process", "State", "Process id", "Asked now", "Since"], list(_rows(status)))


def _rows(status: Mapping[str, Any]) -> Iterator[list[Cell | str]]:
    known = status["processes"] or {name: {} for name in status["answers"]}
    for name, each in known.items():
        answers = _WORDS[status["answers"].get(name)]
        yield [name, each.get("state") or DASH, str(each.get("pid") or DASH), answers, each.get("since") or DASH]


def sentence(status: Mapping[str, Any]) -> str:
    """Return what the site does now."""
    trainer = status["trainer"]
    if not status["running"]:
        return "The site's processes do not run: nothing is answered."
    if trainer is None:
        return "The trainer does not answer."
    if trainer.get("paused"):
        return "The site is paused: it answers nothing."
    if trainer.get("loading"):
        return "The trainer is loading the base model and the rows of its study."
    return "The trainer answers a message." if trainer.get("busy") else "The trainer waits for messages."


def _tone(status: Mapping[str, Any]) -> Any:
    if not status["running"]:
        return "warn"
    return "bad" if status["trainer"] is None else "good"
