"""Reading a study file (TOML) and overriding its keys; an error is one line: file, key, what would be right."""

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args  # TOML values

from pydantic import BaseModel, ValidationError

from common import plugins
from common.data_schema import Column
from common.errors import StudyError
from common.protecting import check_privacy
from common.strategy_check import check_strategy
from common.study import Study
from common.study_evaluation import check_evidence
from common.study_regulariser import check_classifies
from common.study_task import task_of

REGISTRIES = {
    "common.peft_methods": "peft.method",
    "common.tasks": "task.kind",
    "client.data": "data.kind",
    "server.aggregation": "aggregation.name",
    "common.compression": "compression.method",
    "common.privacy": "privacy.mechanism",
    "simulations.partitions": "simulation.partition.name",
    "simulations.attacks": "simulation.attack.name",
}
COLUMN_KINDS = {get_args(kind.model_fields["type"].annotation)[0]: kind for kind in get_args(get_args(Column)[0])}


def read_study(path: Path, *, overrides: Sequence[str] = ()) -> Study:
    """Return the study in `path` with `key=value` overrides applied, its plugins and their options checked."""
    return with_overrides(_parse(path), overrides, where=str(path))


def with_overrides(content: dict[str, Any], overrides: Sequence[str], *, where: str) -> Study:
    """Return the study that `content` describes with `key=value` overrides, which are written into it."""
    for text in overrides:
        _override(content, text)
    return check_study(content, where=where)


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyError(f"there is no study file {path}") from None
    except IsADirectoryError:
        raise StudyError(f"{path} is a folder, expected a study file in TOML") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is not TOML: {error}") from None


def _override(content: dict[str, Any], text: str) -> None:
    """Apply one `section.key=value`; the value is read as TOML, and as plain text where that fails."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise StudyError(f"--set {text!r}: expected key=value, such as training.learning_rate=0.01")
    *path, last = key.strip().split(".")
    place = content
    for part in path:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise StudyError(f"--set {text!r}: {part!r} is a value, not a section")
    place[last] = _toml_value(value.strip())


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def check_study(content: Mapping[str, Any], *, where: str) -> Study:
    """Return the study that `content` describes; `where` names its source in errors."""
    try:
        study = Study.model_validate(content)
        _check_plugins(study)
    except ValidationError as error:
        raise StudyError(f"{where}: {first_error(error, Study)}") from None
    except StudyError as error:
        raise StudyError(f"{where}: {error}") from None
    return study


def _check_plugins(study: Study) -> None:
    """Build every plugin that the study names, which checks names and options, and if they go together; no torch."""
    chosen: list[tuple[str, str, Mapping[str, Any]]] = [
        ("common.peft_methods", study.peft.method, study.peft.options),
        ("common.tasks", study.task.kind, study.task.arguments),
        ("client.data", study.data.kind, {}),
        ("server.aggregation", study.aggregation.name, study.aggregation.options),
        ("common.compression", study.compression.method, study.compression.options),
    ]
    if study.simulation is not None and study.simulation.partition is not None:
        partition = study.simulation.partition
        chosen.append(("simulations.partitions", partition.name, partition.options))
    if study.simulation is not None and study.simulation.attack is not None:
        attack = study.simulation.attack
        chosen.append(("simulations.attacks", attack.name, attack.options))
    built: dict[str, Any] = {}
    for package, name, options in chosen:
        built[package] = plugins.build(package, name, options, key=REGISTRIES[package])
    check_strategy(study, built["server.aggregation"])
    check_privacy(study)
    check_evidence(study)
    if study.training.regulariser is not None:
        check_classifies(task_of(study.task).measure, kind=study.training.regulariser.kind)


_NAME_FORM = "1 to 63 letters, digits, '.', '_' and '-', a letter or digit first"
_FORMS = {
    "digest": "sha256: and 64 hexadecimal digits",
    "name": _NAME_FORM,
    "site": _NAME_FORM,
    "sites": _NAME_FORM,
    "source": "package:NAME/FOLDER, dir:PATH, hub:ORG/NAME@REVISION or generated:NAME",
}
"""What keys with a pattern expect, in words: pydantic would show the pattern."""


def first_error(error: ValidationError, model: type[BaseModel]) -> str:
    """Return one line for the first of pydantic's errors in the keys of `model`."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    key = ".".join(_as_written(place)) or model.__name__.lower()
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key{_suggestion(place, model)}{more}"
    if first["type"] == "missing":
        return f"{key}: missing, and it has no default{more}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "string_pattern_mismatch":
        named = [part for part in place if not part.isdigit()]
        message = f"expected {_FORMS[named[-1]]}" if named and named[-1] in _FORMS else message
    return f"{key}: {message}; found {first['input']!r:.80}{more}"


def _is_in_column(place: Sequence[str]) -> bool:
    """Whether this is data.columns.NAME.TYPE.KEY...: pydantic puts the column's type into the place."""
    return list(place[:2]) == ["data", "columns"] and len(place) > 4 and place[3] in COLUMN_KINDS


def _as_written(place: list[str]) -> list[str]:
    return [*place[:3], *place[4:]] if _is_in_column(place) else place


def _suggestion(place: Sequence[str], model: type[BaseModel]) -> str:
    """Return the keys that the section has, the closest first."""
    section: Any = COLUMN_KINDS[place[3]] if _is_in_column(place) else model
    for part in place[4:-1] if _is_in_column(place) else place[:-1]:
        fields = section.model_fields if _is_model(section) else {}
        if not part.isdigit():  # a place in a list of sections
            section = _section_in(fields[part].annotation) if part in fields else None
    if not _is_model(section):
        return ""
    names = list(section.model_fields)
    close = get_close_matches(place[-1], names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(names)}"


def _section_in(annotation: Any) -> Any:
    """Return the section that a key holds, one of a list of them, or one that may be absent."""
    return annotation if _is_model(annotation) else next(filter(_is_model, get_args(annotation)), None)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
