"""What a search varies: keys of a study, each with a range or with choices, from a TOML file or the command line."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final  # TOML values

from common.errors import StudyError

EXAMPLE: Final = 'such as "training.learning_rate" = { low = 1e-4, high = 1e-1, log = true }'
OF_RANGE: Final = {"low", "high", "log", "step"}


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included; in steps where there is one, evenly in the logarithm if `log`.

    Whole numbers where low, high and step are written as such.
    """

    key: str
    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it has whole numbers only."""
        return not any(isinstance(number, float) for number in (self.low, self.high, self.step))

    @property
    def probes(self) -> tuple[Any, ...]:
        """Values that tell whether the study takes such."""
        return (self.low, self.high)

    def to_json(self) -> dict[str, Any]:
        """Return the table that describes it."""
        return {"low": self.low, "high": self.high, "log": self.log, "step": self.step}


@dataclass(frozen=True)
class Choices:
    """One of these values, which may be of any kind that the key takes."""

    key: str
    values: tuple[Any, ...]

    @property
    def probes(self) -> tuple[Any, ...]:
        """All of them."""
        return self.values

    def to_json(self) -> dict[str, Any]:
        """Return the table that describes it."""
        return {"choices": list(self.values)}


Parameter = Range | Choices


def read_space(path: Path) -> list[Parameter]:
    """Return the parameters of a TOML file. Raises StudyError with file and key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyError(f"there is no search space {path}") from None
    except (IsADirectoryError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is no search space in TOML: {error}") from None
    return [_parameter(key, value, where=str(path)) for key, value in _flat(content)]


def _flat(content: Mapping[str, Any], path: str = "") -> list[tuple[str, Any]]:
    """`[training]` and `learning_rate = {low = ...}` below it mean `"training.learning_rate" = {low = ...}`."""
    found: list[tuple[str, Any]] = []
    for key, value in content.items():
        is_section = isinstance(value, Mapping) and not set(value) & {*OF_RANGE, "choices"}
        found += _flat(value, f"{path}{key}.") if is_section and value else [(f"{path}{key}", value)]
    return found


def read_parameter(text: str) -> Parameter:
    """Return the parameter of one `--param KEY=SPEC`. Raises StudyError.

    >>> read_parameter("training.learning_rate=1e-4..0.1:log")
    Range(key='training.learning_rate', low=0.0001, high=0.1, log=True, step=None)
    >>> read_parameter("peft.rank=2..8:2"), read_parameter("peft.rank=[2, 4]")
    (Range(key='peft.rank', low=2, high=8, log=False, step=2), Choices(key='peft.rank', values=(2, 4)))
    """
    key, equals, spec = (part.strip() for part in text.partition("="))
    where = f"--param {text!r}"
    if not equals or not key or not spec:
        raise StudyError(f"{where}: expected KEY=LOW..HIGH, KEY=LOW..HIGH:log, KEY=LOW..HIGH:STEP or KEY=[A, B, C]")
    return _parameter(key, _short(spec) if ".." in spec else _toml(spec, where), where=where)


def _short(spec: str) -> dict[str, Any]:
    """Read LOW..HIGH, with :log or :STEP after it."""
    ends, _, more = spec.partition(":")
    low, _, high = ends.partition("..")
    table: dict[str, Any] = {"low": _number(low), "high": _number(high)}
    return table if not more else {**table, "log": True} if more == "log" else {**table, "step": _number(more)}


def _number(text: str) -> int | float | str:
    """What is no number is told by the check of the table, which knows the key."""
    for kind in (int, float):
        try:
            return kind(text.strip())
        except ValueError:
            continue
    return text


def _toml(spec: str, where: str) -> Any:
    try:
        return tomllib.loads(f"value = {spec}")["value"]
    except tomllib.TOMLDecodeError:
        raise StudyError(f"{where}: {spec!r} is neither LOW..HIGH nor a list [A, B, C]") from None


def parameter_of(key: str, table: Any) -> Parameter:
    """Return what `to_json` of a parameter described."""
    return _parameter(key, {name: value for name, value in table.items() if value is not None}, where="search space")


def _parameter(key: str, value: Any, *, where: str) -> Parameter:
    table = {"choices": value} if isinstance(value, list) else value
    if not isinstance(table, Mapping):
        raise StudyError(f"{where}: {key} = {value!r:.60}; expected a range or choices, {EXAMPLE}")
    if set(table) == {"choices"}:
        return _choices(key, table["choices"], where)
    unknown = sorted(set(table) - OF_RANGE)
    if unknown or not {"low", "high"} <= set(table):
        found = f"unknown key {unknown[0]!r}" if unknown else f"has {', '.join(table) or 'nothing'}"
        raise StudyError(f"{where}: {key}: {found}; expected low and high, and log or step if wanted, or choices alone")
    return _range(key, table, where)


def _choices(key: str, values: Any, where: str) -> Choices:
    if not isinstance(values, list) or len(values) < 2:
        raise StudyError(f"{where}: {key}: choices = {values!r:.60}; expected a list of at least two values")
    if any(value in values[:place] for place, value in enumerate(values)):
        raise StudyError(f"{where}: {key}: choices has a value twice")
    return Choices(key, tuple(values))


def _range(key: str, table: Mapping[str, Any], where: str) -> Range:
    numbers = {name: table[name] for name in ("low", "high", "step") if name in table}
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < float("inf"):
            raise StudyError(f"{where}: {key}: {name} = {number!r}; expected a finite number")
    log, step = table.get("log", False), table.get("step")
    if not isinstance(log, bool):
        raise StudyError(f"{where}: {key}: log = {log!r}; expected true or false")
    if not table["low"] < table["high"]:
        raise StudyError(f"{where}: {key}: low = {table['low']} is not below high = {table['high']}")
    if log and (step is not None or table["low"] <= 0):
        raise StudyError(f"{where}: {key}: log = true goes without step, and with low > 0")
    if step is not None and step <= 0:
        raise StudyError(f"{where}: {key}: step = {step}; expected a number above 0")
    return Range(key, table["low"], table["high"], log, step)


def joined(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """Return the parameters of one search. Raises StudyError where there are none, or two for one key."""
    if not parameters:
        raise StudyError("nothing to vary: give --space FILE, or --param KEY=LOW..HIGH:log for each key")
    keys = [each.key for each in parameters]
    twice = [key for place, key in enumerate(keys) if key in keys[:place]]
    if twice:
        raise StudyError(f"{twice[0]} is in the search space twice; leave one out")
    return tuple(parameters)
