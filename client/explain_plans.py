"""Which tensors a study may have trained at this site, round by round, for the person who approves it."""

from collections.abc import Sequence
from itertools import pairwise

from common.errors import StudyError
from common.foreseen import foreseen_in
from common.plans import Foreseen
from common.state import AdapterSchema
from common.study import Study

_BLANK = " " * len("trains        ")


def plan_lines(study: Study, shared: AdapterSchema, site: str) -> tuple[list[str], list[str]]:
    """Return the lines, and what stands against the study.

    shared: the tensors that travel.
    """
    try:
        rounds = _by_plan(study, site)
    except StudyError as error:
        return ["trains        not known: the strategy's options are not right"], [str(error)]
    said = [
        f"{'trains        ' if not i else _BLANK}rounds {listed_rounds(numbers)}: {_trained(found, shared)}"
        for i, (found, numbers) in enumerate(rounds.items())
    ]
    return [*said, *_proximal_lines(rounds)], _objections(rounds, shared)


def _by_plan(study: Study, site: str) -> dict[Foreseen, list[int]]:
    """Return the rounds of each different plan, in the order of their first."""
    found: dict[Foreseen, list[int]] = {}
    for number in range(1, study.federation.rounds + 1):
        each = foreseen_in(study, number, site)
        found.setdefault(each, []).append(number)
    return found


def listed_rounds(numbers: Sequence[int]) -> str:
    """Return round numbers, which grow, as a person would say them.

    >>> listed_rounds([1, 2, 3]), listed_rounds([1, 3, 5, 7]), listed_rounds([2]), listed_rounds([1, 2, 5])
    ('1 to 3', '1, 3, ..., 7', '2', '1, 2, 5')
    """
    steps = {right - left for left, right in pairwise(numbers)}
    if steps == {1}:
        return f"{numbers[0]} to {numbers[-1]}"
    if len(steps) == 1 and len(numbers) > 3:
        return f"{numbers[0]}, {numbers[1]}, ..., {numbers[-1]}"
    return ", ".join(map(str, numbers))


def _trained(found: Foreseen, shared: AdapterSchema) -> str:
    count = len(shared.names)
    choices = list(found.choices(shared))
    if choices == [shared.names]:
        return f"all {count} tensors that leave"
    sets = [f"{len(names)} of {count} tensors, {', '.join(names)}" for names in choices]
    return "; or, as the coordinator chooses, ".join(sets) or "nothing"


def _proximal_lines(rounds: dict[Foreseen, list[int]]) -> list[str]:
    """FedProx' term ties training to the adapter that was received; it is the study's to set, not the coordinator's."""
    weights = {found.proximal_mu for found in rounds}
    if weights == {0.0}:
        return ["proximal      none: nothing ties the training to the adapter that was received"]
    said = [f"{found.proximal_mu:g} in rounds {listed_rounds(numbers)}" for found, numbers in rounds.items()]
    return [f"proximal      weight {'; '.join(said)}: it ties the training to the adapter that was received"]


def _objections(rounds: dict[Foreseen, list[int]], shared: AdapterSchema) -> list[str]:
    """A trainer refuses what it cannot do; so that a study which asks for it comes to nothing is said before."""
    found = []
    if any(each.rank is not None or each.extra for each in rounds):
        found.append("its strategy asks for ranks of single sites or for further arrays, which a trainer cannot give")
    if any(not list(each.choices(shared)) for each in rounds):
        found.append("its strategy names tensors of which the adapter has none")
    return found
