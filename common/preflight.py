"""What is asked of a site before round 1, and what it says: whether this study can work there, in fixed words.

No row is looked at that training would not look at, and no count leaves: a site says that it is ready, or what is not.
Site and server note each answer among their receipts, as one of round 0.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import SchemaError
from common.files import canonical_json, digest_bytes
from common.names import NAME
from common.protocol import Kind

MESSAGE_KIND = "query.preflight"
KIND: Final = "preflight"
ROUND: Final = 0
"""Kind and round of its receipts."""

ReceiptKind = Kind | Literal["preflight"]
"""What the receipts of a site and of a server are of."""

Problem = Literal[
    "NOT_APPROVED",
    "PAUSED",
    "OUTSIDE_HOURS",
    "POLICY",
    "NO_BASE_MODEL",
    "DATA_UNREADABLE",
    "NO_TRAINING_ROWS",
    "TOO_FEW_PATIENTS",
    "TOO_LITTLE_MEMORY",
    "DEVICE_MISSING",
    "NOT_OPENED",
]
"""DATA_UNREADABLE: the rows are not what the study's schema says. NOT_OPENED: anything else; the site's own log says
what."""

CLOSED: Final[tuple[Problem, ...]] = ("NOT_APPROVED", "PAUSED", "OUTSIDE_HOURS", "POLICY")
"""Where one of these stands in the way, a site says that word and nothing else."""

Note = Literal["ONE_LABEL"]
"""What stands in nobody's way and is worth knowing."""

MEANINGS: dict[Problem, str] = {
    "NOT_APPROVED": "the study is not approved there: fedpeft site approve",
    "PAUSED": "the site is paused: fedpeft site resume",
    "OUTSIDE_HOURS": "the site answers at other hours only, by its policy",
    "POLICY": "the site's policy forbids this study",
    "NO_BASE_MODEL": "the site has no base model with the study's digest",
    "DATA_UNREADABLE": "the site's rows are not what the study's schema says: fedpeft site check",
    "NO_TRAINING_ROWS": "no rows to train on",
    "TOO_FEW_PATIENTS": "fewer patients than the site's policy asks for",
    "TOO_LITTLE_MEMORY": "less free memory than the study needs",
    "DEVICE_MISSING": "the device that its settings name is not there",
    "NOT_OPENED": "the site could not open the study; its own log says why",
}

NOTES: dict[Note, str] = {"ONE_LABEL": "its training rows are all of one label"}


class Question(BaseModel):
    """Name of the run, digests of the study, its schema and its bundle, and a nonce: an answer is to one question."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    run: str = Field(pattern=rf"^{NAME.pattern}$")
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")
    study: str = Field(max_length=71)
    adapter_schema: str = Field(max_length=71)
    bundle: str = Field(max_length=71)


class Readiness(BaseModel):
    """A site's answer: what stands in the way, versions of libraries, bytes of memory free and needed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    problems: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()
    versions: dict[str, str | None] = Field(default_factory=dict, max_length=20)
    free_bytes: int | None = Field(default=None, ge=0)
    needed_bytes: int | None = Field(default=None, ge=0)

    @property
    def is_ready(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.problems

    @property
    def is_refusal(self) -> bool:
        """Whether it is one of CLOSED alone: then nothing is said of study or machine."""
        return self in map(_only, CLOSED)

    @property
    def content(self) -> bytes:
        """What leaves, as JSON."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str | None:
        """Digest of what leaves, as both sides note it; None for a refusal, as of every refusal."""
        return None if self.is_refusal else digest_bytes(self.content)


def _only(problem: Problem) -> Readiness:
    return Readiness(problems=(problem,))


def read_readiness(value: object) -> Readiness:
    """Return the answer in a JSON value that a site sent. Raises SchemaError."""
    try:
        found = Readiness.model_validate(value)
    except ValidationError as error:
        raise SchemaError(f"preflight answer: {error.errors()[0]['msg']}") from None
    texts = [*found.versions, *(text for text in found.versions.values() if text is not None)]
    if any(len(text) > 40 or not text.isprintable() for text in texts):
        raise SchemaError("preflight answer: a version that is not a short printable text")
    return found
