"""What the privacy ledger holds, in plain words, for the person who answers for the patients' data."""

from collections.abc import Iterator, Mapping
from math import ceil

from client.ledger_overview import MOST_ROUNDS, Group, Overview, found_patients, right_guesses
from client.site_folder import short
from common.visible import visible

WRONGLY = 0.01
_LITTLE = 0.99
"""Where a guess may be right this often, the bound alone says little."""


def privacy_lines(found: Overview, names: Mapping[str, str]) -> Iterator[str]:
    """Yield what was spent and what is left. names: of the studies that are approved, by digest."""
    limit = found.limit
    yield (
        f"policy        all studies together may spend epsilon {limit.epsilon:g} of a patient at delta {limit.delta:g} "
        "(privacy_epsilon and privacy_delta in policy.toml)"
    )
    for number, group in enumerate(found.groups, start=1):
        yield from (visible(line) for line in _group_lines(number, group, found, names))
    if not found.groups:
        yield "spent         nothing: no study was answered here since the ledger is kept"
    yield (
        "when spent    studies with a guarantee are answered PRIVACY_BUDGET_SPENT, and nothing more leaves for them; a "
        "higher privacy_epsilon lets them go on, and what was spent stays spent"
    )
    yield (
        "each counts   every study file and every run spends anew of the same patients, and so does each try of a "
        "search for a learning rate; new patients begin at nothing, new rows of old ones do not"
    )


def _group_lines(number: int, group: Group, found: Overview, names: Mapping[str, str]) -> Iterator[str]:
    yield f"group {number:<8}{group.patients} patients, who were in the same answers"
    if group.studies:
        yield from _spent_lines(group, found, names)
    if group.unprotected:
        studies = ", ".join(_named(study, names) for study in group.unprotected)
        yield f"  no bound    answered about them without a guarantee, which epsilon does not count: {studies}"


def _spent_lines(group: Group, found: Overview, names: Mapping[str, str]) -> Iterator[str]:
    limit = found.limit
    yield f"  spent       epsilon {group.epsilon:.2f} of {limit.epsilon:g}; {_left(group, limit.epsilon)}"
    for part in group.studies:
        rounds = "1 round" if part.rounds == 1 else f"{part.rounds} rounds"
        yield f"  by study    {_named(part.study, names)}: {rounds}, epsilon {part.epsilon:.2f} if it were alone"
    yield from _meaning_lines(group.epsilon, limit.delta)
    if limit.delta * group.patients >= 1:
        yield (
            f"  too coarse  delta {limit.delta:g} is not below 1 in {group.patients} patients, so that one of them may "
            "be given away altogether; set privacy_delta lower"
        )


def _left(group: Group, limit: float) -> str:
    left, more = max(limit - group.epsilon, 0.0), group.rounds_left or 0
    if not more:
        return f"{left:.2f} left, too little for one more round such as the last"
    count = f"more than {MOST_ROUNDS}" if more >= MOST_ROUNDS else str(more)
    return f"{left:.2f} left, enough for {count} more {'round' if more == 1 else 'rounds'} such as the last"


def _meaning_lines(epsilon: float, delta: float) -> Iterator[str]:
    right, hit = right_guesses(epsilon, delta), found_patients(epsilon, delta, wrongly=WRONGLY)
    yield "  it means    no analysis of what left tells whether a given patient's rows were in it better than this:"
    yield f"              where both are as likely, a guess is right at most {_percent(right)} of the time;"
    yield (
        f"              who wrongly names {_percent(WRONGLY)} of the patients that were not in it finds at most "
        f"{_percent(hit)} of those who were"
    )
    if right >= _LITTLE:
        yield "              so large an epsilon rules out little; what attacks really find may be far less"


def _percent(share: float) -> str:
    """Return a bound in percent, rounded up: a bound that is rounded down is none.

    >>> _percent(0.7311), _percent(1.0)
    ('73.2 %', '100 %')
    """
    return f"{min(ceil(share * 1000) / 10, 100):g} %"


def _named(study: str, names: Mapping[str, str]) -> str:
    return names.get(study, f"study {short(study)} (not approved any more)")
