"""Which tensors a study may have trained at this site, round by round, for the person who approves it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from client.plan_extras import KNOWN, ROTATION, TAIL_PENALTY
from common.errors import StudyError
from common.foreseen import foreseen_in
from common.lora_pairs import A
from common.plans import Foreseen
from common.rank_slices import sliced_schema
from common.state import AdapterSchema
from common.study import Study

_BLANK = " " * len("trains        ")
_FURTHER: Final = {
    ROTATION: "before the factors leave they are turned towards those received, {rotation:g} of the way, "
    "which changes no product of theirs",
    TAIL_PENALTY: "training is held back, with weight {tail_penalty:g}, from using ranks beyond the first "
    "{tail_share:g} of them",
}
_CARRIES: Final = (
    "from round 2 on the coordinator sends a low-rank change of the model beside the adapter, which is not trained; "
    "the base model's own weights stay as they are"
)


def plan_lines(study: Study, shared: AdapterSchema, site: str) -> tuple[list[str], list[str]]:
    """Return the lines, and what stands against the study.

    shared: the tensors that travel.
    """
    try:
        rounds = _by_plan(study, site)
    except StudyError as error:
        return ["trains        not known: the strategy's options are not right"], [str(error)]
    trained: dict[str, list[int]] = {}
    for found, numbers in rounds.items():
        trained.setdefault(_trained(found, shared), []).extend(numbers)
    said = [
        f"{'trains        ' if not i else _BLANK}rounds {listed_rounds(sorted(numbers))}: {what}"
        for i, (what, numbers) in enumerate(trained.items())
    ]
    lines = [*said, *_proximal_lines(rounds), *_rank_lines(rounds, shared), *_further_lines(rounds)]
    return lines, _objections(rounds, shared)


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


def _rank_lines(rounds: dict[Foreseen, list[int]], shared: AdapterSchema) -> list[str]:
    """A site with a rank of its own is told so, and what that spares it; every other one has the study's."""
    own = next((found for found in rounds if found.rank is not None or found.shrinks), None)
    if own is None:
        return []
    largest = max((spec.shape[0] for spec in shared.tensors if spec.name.endswith(A)), default=0)
    rank = largest if own.rank is None else own.rank
    lower = ", or fewer as the coordinator chooses" if own.shrinks else ""
    return [
        f"rank          {rank} of {largest}{lower}: this site is sent, trains and returns the first {rank} "
        "rows and columns of the factors",
        f"{_BLANK}{sliced_schema(shared, rank).size_bytes} bytes of the adapter come a round, of {shared.size_bytes}",
    ]


def _further_lines(rounds: dict[Foreseen, list[int]]) -> list[str]:
    asked = dict(sorted(frozenset[tuple[str, float]]().union(*(found.extra for found in rounds))))
    lines = [f"further       {text.format(**asked)}" for name, text in _FURTHER.items() if name in asked]
    carrying = next((found for found in rounds if found.carries), None)
    if carrying is not None:
        most = "" if carrying.carried_rank is None else f", of at most {carrying.carried_rank} ranks in a layer"
        lines.append(f"further       {_CARRIES}{most}")
    return lines


def _objections(rounds: dict[Foreseen, list[int]], shared: AdapterSchema) -> list[str]:
    """A trainer refuses what it cannot do; so that a study which asks for it comes to nothing is said before."""
    found = []
    unknown = sorted({name for each in rounds for name, _ in each.extra} - KNOWN)
    if unknown:
        found.append(f"its strategy asks for what a trainer cannot give: {', '.join(unknown)}")
    if any(not list(each.choices(shared)) for each in rounds):
        found.append("its strategy names tensors of which the adapter has none")
    return found
