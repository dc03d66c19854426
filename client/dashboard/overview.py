"""The first page: which site this is, whether it is paused or open, under which policy, and what left in all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from client.approval import approvals
from client.dashboard.cells import Note, clock, count, size
from client.dashboard.chain import said
from client.dashboard.journal_reading import Reading
from client.hours import is_open
from client.policy import Policy, read_policy
from client.settings import SiteSettings
from client.site_folder import SiteFolder, short
from common.errors import UserError
from common.keys import fingerprint


@dataclass(frozen=True)
class Card:
    """A name, a short text, a smaller line below."""

    name: str
    text: str
    detail: str = ""


def try_policy(folder: SiteFolder) -> tuple[Policy | None, list[Note]]:
    """Return the policy in force, or None and what is wrong with it: then nothing leaves."""
    try:
        return read_policy(folder.policy), []
    except UserError as error:
        return None, [Note(f"Nothing leaves: {said(error)}", "bad")]


def facts(settings: SiteSettings) -> list[tuple[str, str]]:
    """Return what does not change while the site works."""
    key = fingerprint(settings.coordinator.signing_key)
    rows = settings.data.name if settings.data else "none named in site.toml"
    return [("Coordinator", settings.coordinator.address), ("Its key", key), ("File of rows", rows)]


def state_notes(folder: SiteFolder, policy: Policy | None, now: datetime) -> Iterator[Note]:
    """Yield what holds all answers back at this local time."""
    if folder.paused.exists():
        yield Note("The site is paused: nothing leaves until `fedpeft site resume`.", "warn")
    if policy is not None and not is_open(policy.hours, now):
        yield Note(f"It is outside the policy's hours, {', '.join(policy.hours)}: nothing is answered now.", "warn")


def cards(folder: SiteFolder, reading: Reading, policy: Policy | None, now: datetime) -> list[Card]:
    """Return the figures of the first page. now: the local time, which the policy's hours count in."""
    left = [line for line in reading.lines if line.left]
    refused = len(reading.lines) - len(left)
    last = f"last {clock(left[-1].time)} UTC" if left else "nothing yet"
    return [
        Card("Answers that left", count(len(left)), last),
        Card("Bytes that left", size(sum(line.size_bytes for line in left)), "each answer as often as it was sent"),
        Card("Refused", count(refused), _last_reason(reading)),
        Card("Approved studies", _approved(folder)),
        Card("Policy", "in force" if policy else "broken", short(policy.digest) if policy else "nothing leaves"),
        Card("Clock here", now.strftime("%H:%M"), f"{now:%Y-%m-%d}, {now.astimezone(UTC):%H:%M} UTC"),
    ]


def _last_reason(reading: Reading) -> str:
    reasons = [line.reason for line in reading.lines if not line.left]
    return f"last: {reasons[-1]}" if reasons else ""


def _approved(folder: SiteFolder) -> str:
    try:
        return count(len(approvals(folder)))
    except UserError:
        return "not readable"


def reading_notes(reading: Reading) -> Sequence[Note]:
    """Return what there is to say of the journal's file."""
    found = []
    if not reading.is_there and reading.lines:
        found.append(Note("The journal is not there any more; this shows what was read of it.", "warn"))
    if reading.unfinished:
        found.append(Note(f"The last line is not finished ({reading.unfinished} bytes); it is not counted.", "warn"))
    if reading.skipped:
        found.append(Note(f"{reading.skipped} lines of the journal are no entries, and are not counted.", "warn"))
    return found
