"""One version of an adapter, as its `version.json` has it: where it came from, what it scored, what it consists of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal  # JSON values

from pydantic import ConfigDict, TypeAdapter, ValidationError

from common import strict_json
from common.errors import SchemaError
from common.files import digest_json
from common.metrics.types import Metric

FORMAT: Final = 1
MAX_TEXT: Final = 16 * 2**20
"""Characters of a `version.json`: metrics of a task with thousands of labels fit in."""
_STRICT = ConfigDict(extra="forbid", strict=True)
Plain = str | int | float | bool | None


@dataclass(frozen=True)
class Digests:
    """What the version is of; `bundle` names the prepared study, `carried` what the adapter has beside its tensors."""

    __pydantic_config__ = _STRICT
    study: str
    bundle: str
    schema: str
    base_model: str
    adapter: str
    carried: str | None = None


@dataclass(frozen=True)
class Leading:
    """The metric by which versions are told apart, for people."""

    __pydantic_config__ = _STRICT
    name: str
    label: str
    higher_is_better: bool


@dataclass(frozen=True)
class Measured:
    """Metrics by name: of test rows over all sites and averaged over sites, and of the kept round's validation rows."""

    __pydantic_config__ = _STRICT
    leading: Leading
    pooled: Mapping[str, Metric]
    mean: Mapping[str, Metric]
    validation: Mapping[str, Metric]


@dataclass(frozen=True)
class Rounds:
    """How many rounds were played, and after which the adapter was kept."""

    __pydantic_config__ = _STRICT
    played: int
    kept: int


@dataclass(frozen=True)
class Receipts:
    """What vouches for the run: entries of the coordinator's receipts, or of a simulation's journals, and their head.

    head: digest of the last receipt, which chains all before it; of journals, digest of the digests of their files.
    """

    __pydantic_config__ = _STRICT
    log: Literal["receipts", "journals"]
    count: int
    head: str


@dataclass(frozen=True)
class Version:
    """One version. What the run did not say is None; `created` is when it was added, ISO 8601 in UTC.

    parent: number of the version that this one was continued from. privacy: the plain figures of the run's guarantee.
    versions: of Python and libraries. files: digest of each file beside `version.json`, by path.
    """

    __pydantic_config__ = _STRICT
    number: int
    name: str
    study: str
    digests: Digests
    run: str | None
    seed: int
    parent: int | None
    created: str
    rounds: Rounds | None
    metrics: Measured | None
    receipts: Receipts | None
    privacy: Mapping[str, Plain] | None
    versions: Mapping[str, str | None]
    files: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the content of `version.json`, with a digest by which any change of it shows."""
        content = _VERSION.dump_python(self, mode="json")
        return {"format": FORMAT, "digest": digest_json(content), "version": content}

    @classmethod
    def from_json(cls, text: str) -> "Version":
        """Read what `to_json` wrote. Raises SchemaError."""
        found = strict_json.parse(text, limit=MAX_TEXT)
        if not isinstance(found, dict) or set(found) != {"format", "digest", "version"}:
            raise SchemaError("keys are not format, digest and version")
        if found["format"] != FORMAT:
            raise SchemaError(f"format is {found['format']!r:.20}, this fedpeft reads {FORMAT}")
        if digest_json(found["version"]) != found["digest"]:
            raise SchemaError("content does not have the digest that it states")
        try:
            return _VERSION.validate_json(json.dumps(found["version"]), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            raise SchemaError(f"{'.'.join(map(str, first['loc'])) or 'version'}: {first['msg']}") from None


_VERSION: TypeAdapter[Version] = TypeAdapter(Version)
