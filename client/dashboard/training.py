"""Training here, from the site's own log of steps: loss by round, and by step of the newest run."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final  # JSON

from client.dashboard.cells import DASH, Table, count, table

MOST_POINTS: Final = 400
SHOWN_ROUNDS: Final = 50


@dataclass(frozen=True)
class StepLine:
    """One step as `client.step_log` wrote it."""

    study: str
    run: str
    round: int
    step: int
    loss: float | None
    gradient_norm: float | None


@dataclass(frozen=True)
class RoundFigures:
    """One round of training; means over its steps that have a finite figure."""

    study: str
    run: str
    round: int
    steps: int
    loss: float | None
    last_loss: float | None
    gradient_norm: float | None


def read_steps(path: Path) -> list[StepLine]:
    """Return the steps in a log and in the older part beside it; a line that is cut or damaged is passed over."""
    lines: list[StepLine] = []
    for part in (path.with_name(f"{path.name}.1"), path):
        try:
            content = part.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        lines += [step for line in content.split(b"\n")[:-1] if (step := _step(line)) is not None]
    return lines


def _step(line: bytes) -> StepLine | None:
    try:
        found = json.loads(line)
        study, run = str(found["study"]), str(found["run"])
        loss, gradient = _number(found.get("loss")), _number(found.get("gradient_norm"))
        return StepLine(study, run, int(found["round"]), int(found["step"]), loss, gradient)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def rounds_of(steps: Sequence[StepLine]) -> list[RoundFigures]:
    """Return the rounds in the order of the log."""
    groups = groupby(steps, key=lambda step: (step.study, step.run, step.round))
    return [_figures(*about, list(found)) for about, found in groups]


def _figures(study: str, run: str, number: int, steps: Sequence[StepLine]) -> RoundFigures:
    losses = [step.loss for step in steps if step.loss is not None]
    gradients = [step.gradient_norm for step in steps if step.gradient_norm is not None]
    last = steps[-1].loss
    return RoundFigures(study, run, number, len(steps), _mean(losses), last, _mean(gradients))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def rounds_table(rounds: Sequence[RoundFigures]) -> Table:
    """Return the newest rounds, the newest first."""
    newest = list(reversed(rounds))[:SHOWN_ROUNDS]
    header = ["Round", "Study", "Run", "Steps", "Mean loss", "Last loss", "Mean gradient norm"]
    rows = [
        [str(r.round), r.study, r.run, count(r.steps), _text(r.loss), _text(r.last_loss), _text(r.gradient_norm)]
        for r in newest
    ]
    return table(f"The newest {len(newest)} of {len(rounds)} rounds", header, rows)


def _text(value: float | None) -> str:
    return DASH if value is None else f"{value:.4f}"


def round_drawing(rounds: Sequence[RoundFigures]) -> dict[str, Any] | None:
    """Return a chart of the mean loss by round, a line for each run."""
    runs = dict.fromkeys((each.study, each.run) for each in rounds)
    numbers = sorted({each.round for each in rounds})
    if not numbers:
        return None
    lines = []
    for study, run in runs:
        losses = {each.round: each.loss for each in rounds if (each.study, each.run) == (study, run)}
        lines.append({"name": f"{study}, {run}", "y": [losses.get(number) for number in numbers]})
    return {"x": numbers, "lines": lines, "xTitle": "Round", "yTitle": "Mean loss"}


def step_drawing(steps: Sequence[StepLine]) -> dict[str, Any] | None:
    """Return a chart of the loss by step of the run that trained last, thinned to MOST_POINTS."""
    if not steps:
        return None
    newest = (steps[-1].study, steps[-1].run)
    own = [step for step in steps if (step.study, step.run) == newest]
    chosen = list(_thinned(len(own)))
    line = {"name": f"{newest[0]}, {newest[1]}", "y": [own[i].loss for i in chosen]}
    return {"x": [i + 1 for i in chosen], "lines": [line], "xTitle": "Step of the run", "yTitle": "Loss"}


def _thinned(length: int) -> Iterator[int]:
    """Yield places, as even as can be, the last among them."""
    stride = max(1, -(-length // MOST_POINTS))
    yield from range((length - 1) % stride, length, stride)
