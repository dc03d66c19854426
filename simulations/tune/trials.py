"""The trials of a search as they are kept: trials.jsonl and trials.csv, one line each, and the best one's study."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final  # Optuna's trials are untyped here; values of a study

from common.files import write_bytes
from simulations.tune.changing import changed
from simulations.tune.facts import Facts
from simulations.tune.optimiser import values_of

KILLED: Final = "killed"
"""The state of a trial whose process ended before it did; another one has its place."""


@dataclass(frozen=True)
class Trial:
    """One trial. place: in the sequence, from 1. value: of the kept round, None unless it is complete.

    values: the objective on validation rows after each round. seed: the study's, the same in all. looks: adapters that
    were scored on the validation rows.
    """

    place: int
    state: str
    value: float | None
    reason: str | None
    parameters: Mapping[str, Any]
    values: Mapping[int, float]
    digest: str | None
    seed: int | None
    looks: int
    seconds: float | None


def read_trials(search: Any, facts: Facts) -> list[Trial]:
    """Return every trial that has ended, by place."""
    ended = [each for each in search.get_trials(deepcopy=False) if each.state.is_finished()]
    return sorted((_trial(each, facts) for each in ended), key=lambda each: each.place)


def _trial(found: Any, facts: Facts) -> Trial:
    about = found.user_attrs
    state = about.get("outcome", KILLED)
    return Trial(
        place=int(about.get("place", 0)),
        state=state,
        value=found.value if state == "complete" else None,
        reason=about.get("reason"),
        parameters=values_of(found, facts),
        values=dict(sorted(found.intermediate_values.items())),
        digest=about.get("digest"),
        seed=about.get("seed"),
        looks=int(about.get("looks", 0)),
        seconds=about.get("seconds"),
    )


def give_up_open(search: Any) -> None:
    """End the trials that killed processes have left open, so that their places are played anew."""
    from optuna.trial import TrialState

    for each in search.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        search.tell(each.number, state=TrialState.FAIL)


def places_to_play(trials: Sequence[Trial], number: int) -> list[int]:
    """Return the places, up to `number`, that no trial has come to an end at."""
    done = {each.place for each in trials if each.state != KILLED}
    return [place for place in range(1, number + 1) if place not in done]


def best_of(trials: Sequence[Trial], facts: Facts) -> Trial | None:
    """Return the complete trial with the best value, of equal ones the first."""
    sign = -1 if facts.info.higher_is_better else 1
    complete = [each for each in trials if each.value is not None]
    return min(complete, key=lambda each: (sign * (each.value or 0.0), each.place), default=None)


def write_trials(trials: Sequence[Trial], facts: Facts, out: Path) -> None:
    """Write both files, and best.toml where there is a best one."""
    lines = [json.dumps(asdict(each), allow_nan=False, ensure_ascii=False) for each in trials]
    write_bytes(out / "trials.jsonl", "".join(f"{line}\n" for line in lines).encode())
    write_bytes(out / "trials.csv", _csv(trials, facts).encode())
    best = best_of(trials, facts)
    if best is not None:
        write_bytes(out / "best.toml", study_text(best, facts).encode())


def _csv(trials: Sequence[Trial], facts: Facts) -> str:
    import csv
    import io

    keys = list(facts.space)
    rounds = sorted({number for each in trials for number in each.values})
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    head = ["trial", "state", facts.objective, *keys, "seed", "digest", "looks", "seconds"]
    writer.writerow([*head, *(f"round_{number}" for number in rounds), "reason"])
    for each in trials:
        parameters = [each.parameters.get(key, "") for key in keys]
        rest = [_cell(each.seed), _cell(each.digest), each.looks, _cell(each.seconds)]
        values = [_cell(each.values.get(number)) for number in rounds]
        writer.writerow([each.place, each.state, _cell(each.value), *parameters, *rest, *values, each.reason or ""])
    return file.getvalue()


def _cell(value: object) -> object:
    return "" if value is None else value


def study_text(trial: Trial, facts: Facts) -> str:
    """Return the study of a trial as a file that `fedpeft simulate` takes, its digest the trial's."""
    import tomli_w

    # A study file knows no null, so whatever is null in a study read from one is null by default.
    content = changed(facts.base, trial.parameters).model_dump(mode="json", exclude_none=True)
    value = "" if trial.value is None else f": validation {facts.objective} {trial.value:.4f}"
    return f"# Trial {trial.place} of fedpeft tune{value}.\n{tomli_w.dumps(content)}"
