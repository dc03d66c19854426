"""What `fedpeft tune` says in the terminal: a line for each trial on stderr, the table on stdout."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final  # values of a study

from server.report.formats import duration
from simulations.tune.searching import Search
from simulations.tune.trials import KILLED, Trial

ROWS: Final = 10
"""Of the table: the best ones; all are in trials.csv."""


def words(value: Any) -> str:
    """Return a value of a study, short.

    >>> words(0.0123456), words(["query", "value"]), words("lora")
    ('0.01235', '["query", "value"]', 'lora')
    """
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def named(parameters: Mapping[str, Any]) -> str:
    """Return parameters as a user gives them to --set."""
    return ", ".join(f"{key}={words(value)}" for key, value in parameters.items())


def tell(trial: Trial, best: Trial | None, of: int) -> None:
    """Say what became of one trial."""
    found = trial.reason if trial.value is None else f"{trial.value:.4f}"
    leader = "" if best is None else f"; best {best.value:.4f} of trial {best.place}"
    time = "" if trial.seconds is None else f", {duration(trial.seconds)}"
    sys.stderr.write(f"{trial.place}/{of} {named(trial.parameters)}: {trial.state}, {found}{time}{leader}\n")
    sys.stderr.flush()


def print_search(found: Search, out: Path) -> None:
    """Print the best trials, what mattered, how often the validation rows were looked at, and where the files are."""
    from rich.console import Console
    from rich.table import Table

    facts, console = found.facts, Console(width=None if sys.stdout.isatty() else 140)
    table = Table(title=f"{facts.info.label} on validation rows", title_justify="left")
    for name in ("trial", "state", facts.objective, *facts.space, "rounds"):
        table.add_column(name)
    shown = ranked(found)[:ROWS]
    for each in shown:
        value = "" if each.value is None else f"{each.value:.4f}"
        cells = [words(each.parameters[key]) if key in each.parameters else "" for key in facts.space]
        table.add_row(str(each.place), each.state, value, *cells, str(max(each.values, default=0)))
    console.print(table)
    for line in lines(found, out):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def ranked(found: Search) -> list[Trial]:
    """Return the trials with a value, best first, then the others; not those that were killed."""
    sign = -1 if found.facts.info.higher_is_better else 1
    kept = [each for each in found.trials if each.state != KILLED]
    return sorted(kept, key=lambda each: (each.value is None, sign * (each.value or 0.0), each.place))


def lines(found: Search, out: Path) -> list[str]:
    """Return the sentences below the table."""
    said = []
    if found.importances:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in found.importances.items())
        said.append(f"share of each parameter in how the value differs: {shares}")
    best, ended = found.best, _counts(found)
    said.append(f"{ended}; validation rows were looked at {found.looks} times, test rows never to choose")
    if best is None:
        said.append(f"no trial is complete, so there is no best.toml; all trials: {out / 'trials.csv'}")
        return said
    said.append(
        f"the best of {sum(t.value is not None for t in found.trials)} values is better on these validation rows than "
        "it will be on others; test rows say how much:"
    )
    said.append(f"fedpeft simulate {out / 'best.toml'}")
    return [*said, f"all trials: {out / 'trials.csv'}"]


def _counts(found: Search) -> str:
    states = [each.state for each in found.trials]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no trial"
