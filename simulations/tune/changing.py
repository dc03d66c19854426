"""A study with some keys changed, and the check, before anything is played, that a study takes what a search varies."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final  # values of a study

from common.errors import StudyError
from common.study import Study
from common.study_file import check_study
from simulations.tune.space import Parameter, Range

FIXED: Final = (
    "name",
    "description",
    "seed",
    "base_model.digest",
    "data.patient_id",
    "federation.sites",
    "task.kind",
    "task.target",
    "task.labels",
)
FIXED_SECTIONS: Final = ("evaluation", "simulation")
PROBES: Final = 200
"""So many combinations are looked at for one that holds a value: all of them in any space but a large one."""


def changed(study: Study, values: Mapping[str, Any], *, where: str = "search space") -> Study:
    """Return `study` with dotted keys replaced, itself and its plugins checked. Raises StudyError."""
    content = study.model_dump(mode="json")
    for key, value in values.items():
        *path, last = key.split(".")
        place = content
        for part in path:
            if place.get(part) is None:
                place[part] = {}
            place = place[part]
            if not isinstance(place, dict):
                raise StudyError(f"{where}: {key}: {part!r} is a value, not a section")
        place[last] = value
    return check_study(content, where=where)


def check_space(study: Study, space: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """Return `space` with whole ends made decimal where the study's key is. Raises StudyError.

    A value that the study takes in no combination with the others' is a mistake; one that it takes in some is none, and
    the other combinations are failed trials.
    """
    for parameter in space:
        _check_free(parameter.key)
    found = tuple(_as_decimal(parameter, study) for parameter in space)
    for parameter in found:
        for value in parameter.probes:
            _check_value(study, parameter, value, [each for each in found if each is not parameter])
    return found


def _check_free(key: str) -> None:
    whole = any(each.startswith(f"{key}.") for each in FIXED)
    if key in FIXED or whole or key.split(".")[0] in FIXED_SECTIONS:
        raise StudyError(
            f"search space: {key} is not searched over: trials are compared on the same rows, task and draws"
        )


def _as_decimal(parameter: Parameter, study: Study) -> Parameter:
    if (
        not isinstance(parameter, Range)
        or not parameter.is_whole
        or not isinstance(_value(study, parameter.key), float)
    ):
        return parameter
    return Range(parameter.key, float(parameter.low), float(parameter.high), parameter.log, parameter.step)


def _value(study: Study, key: str) -> Any:
    place: Any = study.model_dump(mode="json")
    for part in key.split("."):
        place = place.get(part) if isinstance(place, Mapping) else None
    return place


def _check_value(study: Study, parameter: Parameter, value: Any, others: Sequence[Parameter]) -> None:
    first: StudyError | None = None
    for combination in _combinations(others):
        try:
            changed(study, {**combination, parameter.key: value})
        except StudyError as error:
            first = first or error
        else:
            return
    if first is not None:
        text = str(first).removeprefix("search space: ")
        name = "" if text.startswith(f"{parameter.key}:") else f"{parameter.key} = {value!r}: "
        raise StudyError(f"search space: {name}{text}") from None


def _combinations(others: Sequence[Parameter]) -> Iterator[Mapping[str, Any]]:
    """Yield values of the others: none at all first, then all combinations of their probes, or some of too many."""
    yield {}
    keys, probes = [each.key for each in others], [each.probes for each in others]
    size = 1
    for each in probes:
        size *= len(each)
    if size <= PROBES:
        yield from (dict(zip(keys, values, strict=True)) for values in itertools.product(*probes))
        return
    rng = random.Random(0)
    yield from (dict(zip(keys, map(rng.choice, probes), strict=True)) for _ in range(PROBES))
