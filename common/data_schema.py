"""The `[data]` section of a study: which columns a site's table has, and the sentence that a row becomes.

A column is a `number`, a `category` or free `text`. Thresholds and words are fixed in the study, so that every site
writes the same sentence for the same patient and no statistics of the rows are shared. `common.rendering` does it.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self  # raw TOML values have no narrower type

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

FROZEN = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
OPEN = ConfigDict(**{**FROZEN, "extra": "allow"})
"""Of sections whose further keys are a plugin's own options, which the plugin checks."""
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def placeholders(pattern: str) -> list[str]:
    """Return the names in braces; a brace that opens or closes nothing is a ValueError.

    >>> placeholders("{age} years, {chest pain}")
    ['age', 'chest pain']
    """
    if {"{", "}"} & set(PLACEHOLDER.sub("", pattern)):
        raise ValueError(f"{pattern!r} has a brace without its partner; write names as {{name}}")
    return PLACEHOLDER.findall(pattern)


def canonical(raw: str) -> str:
    """Return one spelling of a raw value: no space around it, and whole numbers without `.0`.

    >>> canonical(" 63.0"), canonical("1.5"), canonical("007")
    ('63', '1.5', '007')
    """
    whole = re.fullmatch(r"([+-]?[0-9]+)\.0*", raw.strip())
    return whole.group(1) if whole else raw.strip()


def _check_phrase(phrase: str) -> str:
    names = placeholders(phrase)
    unknown = sorted(set(names) - {"name", "value"})
    if unknown:
        raise ValueError(f"{phrase!r} has {{{unknown[0]}}}; a phrase knows {{value}} and {{name}}")
    if "value" not in names:
        raise ValueError(f"{phrase!r} lacks {{value}}, the place of the value")
    return phrase


def _as_texts(value: Any) -> Any:
    plain = isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value)
    return tuple(str(item) for item in value) if plain else value


Word = Annotated[str, Field(min_length=1, pattern=r"\S")]
RawValues = Annotated[tuple[str, ...], BeforeValidator(_as_texts)]


class NumberColumn(BaseModel):
    """A column of numbers, written as they are or, between `cut_points`, as one of `words`.

    A value below the first cut point is the first word; a value equal to a cut point belongs above it.
    """

    model_config = FROZEN
    type: Literal["number"]
    cut_points: tuple[float, ...] = ()
    words: tuple[Word, ...] = ()
    decimals: int | None = Field(default=None, ge=0, le=12)
    phrase: str = "{name} {value}"
    missing: RawValues = ()

    _phrase = field_validator("phrase")(_check_phrase)

    @model_validator(mode="after")
    def _words_fit(self) -> Self:
        if any(low >= high for low, high in pairwise(self.cut_points)):
            raise ValueError(f"cut_points must ascend, found {list(self.cut_points)}")
        expected = len(self.cut_points) + 1 if self.cut_points else 0
        if len(self.words) != expected:
            raise ValueError(f"{len(self.cut_points)} cut_points need {expected} words, found {len(self.words)}")
        if self.words and self.decimals is not None:
            raise ValueError("decimals has no effect beside words; give one of them")
        return self


class CategoryColumn(BaseModel):
    """A column of codes or words; `mapping` gives the words of each raw value, and then no other value is allowed."""

    model_config = FROZEN
    type: Literal["category"]
    mapping: Mapping[str, Word] = Field(default_factory=dict)
    phrase: str = "{name} {value}"
    missing: RawValues = ()

    _phrase = field_validator("phrase")(_check_phrase)

    @field_validator("mapping")
    @classmethod
    def _distinct(cls, mapping: Mapping[str, str]) -> Mapping[str, str]:
        if len({canonical(key) for key in mapping}) != len(mapping):
            raise ValueError(f"mapping has one raw value twice: {', '.join(mapping)} (1 and 1.0 are the same)")
        return mapping


class TextColumn(BaseModel):
    """A column of free text. Its values never appear in an error or a log."""

    model_config = FROZEN
    type: Literal["text"]
    phrase: str = "{value}"
    missing: RawValues = ()

    _phrase = field_validator("phrase")(_check_phrase)


Column = Annotated[NumberColumn | CategoryColumn | TextColumn, Field(discriminator="type")]


class DataSection(BaseModel):
    """The columns of a site's table and the template of a row's text.

    Without `columns`, the column named `text` is the input. Without `patient_id`, each row is its own patient.
    A template that is not given is filled in here as all columns in the study's order: the order is then part of the
    study's digest, which does not see the order of a table's keys.
    """

    model_config = FROZEN
    kind: str = "table"
    patient_id: str | None = None
    template: str | None = None
    columns: Mapping[str, Column] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("columns"), Mapping):
            return value
        columns = {name: _from_shorthand(column) for name, column in value["columns"].items()}
        template = value.get("template")
        if template is None and columns:
            template = " ".join(f"{{{name}}}" for name in columns)
        return {**value, "columns": columns, "template": template}

    @field_validator("columns")
    @classmethod
    def _names_can_be_placeholders(cls, columns: Mapping[str, Column]) -> Mapping[str, Column]:
        unusable = [name for name in columns if set("{}") & set(name) or name != name.strip() or not name]
        if unusable:
            raise ValueError(
                f"column name {unusable[0]!r} is empty, or has braces or space around it; rename the column"
            )
        return columns

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        if self.patient_id in self.columns:
            raise ValueError(f"patient_id {self.patient_id!r} is among the columns; an identity is not an input")
        unknown = [name for name in placeholders(self.template or "") if name not in self.columns]
        if unknown:
            known = ", ".join(self.columns) or "none (give data.columns)"
            raise ValueError(f"template has {{{unknown[0]}}}, which is not a column; the columns are: {known}")
        return self


def _from_shorthand(column: Any) -> Any:
    return {"type": column} if isinstance(column, str) else column
