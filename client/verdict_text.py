"""What an acceptance gate decided, as lines for people."""

from collections.abc import Iterator, Mapping

from client.acceptance import Verdict
from common.registry.words import aligned, figure


def table(verdicts: Mapping[str, Verdict]) -> list[str]:
    """Return one line for each verdict, by what it is of, such as a site's name."""
    return aligned([["", "rows", "metric", "in use", "candidate", "better by", ""], *map(_row, verdicts.items())])


def _row(named: tuple[str, Verdict]) -> list[str]:
    name, verdict = named
    word, found = "used" if verdict.is_accepted else "NOT used", verdict.compared
    if found is None:
        return [name, str(verdict.rows), "-", "-", "-", "-", word]
    gain = found.gain
    between = "" if gain.low is None or gain.high is None else f" ({gain.low:+.3f} to {gain.high:+.3f})"
    change = "-" if gain.value is None else f"{gain.value:+.3f}{between}"
    return [name, str(verdict.rows), found.metric.label, figure(found.current), figure(found.candidate), change, word]


def reasons(verdicts: Mapping[str, Verdict]) -> Iterator[str]:
    """Yield why, for each."""
    for name, verdict in verdicts.items():
        yield f"{name}: {verdict.why}"
