"""How many accepted updates a rule needs: a robust mean of two sites is a promise that nobody can keep.

A strategy that needs more than one has `least_sites`. The quorum of its runs is raised to it (`raised_quorum`), so that
a round short of it is asked again and then stops the run, as any other without a quorum.
"""

from collections.abc import Collection, Iterable
from typing import Protocol, runtime_checkable

from common import plugins
from common.errors import ParticipationError, StudyError
from common.study import Study
from server.aggregation import ClientUpdate, Strategy
from server.cohort import draw_cohort


@runtime_checkable
class NeedsSites(Protocol):
    """A strategy that cannot work with one update."""

    @property
    def least_sites(self) -> int:
        """The least number of accepted updates in a round, given its options."""
        ...


def raised_quorum(quorum: float, strategy: Strategy, *, name: str, cohort_size: int) -> float:
    """Return the quorum as a share of the cohort, raised to what the strategy needs.

    Raises:
        StudyError: the whole cohort is less than that.
    """
    least = strategy.least_sites if isinstance(strategy, NeedsSites) else 1
    if least > cohort_size:
        raise StudyError(
            f"aggregation.name = {name!r} needs {least} sites in a round with these options, and {cohort_size} take "
            "part; choose other options, more sites, or another strategy"
        )
    return max(quorum, least / cohort_size) if least > 1 else quorum


def strategy_of(study: Study) -> Strategy:
    """Return the study's strategy. Raises StudyError."""
    aggregation = study.aggregation
    strategy: Strategy = plugins.build(
        "server.aggregation", aggregation.name, aggregation.options, key="aggregation.name"
    )
    return strategy


def quorum_of(study: Study, sites: Collection[str]) -> float:
    """Return the share of a cohort whose replies make a round count: the study's, raised to the strategy's need.

    Raises:
        StudyError: a whole cohort is less than the strategy needs.
    """
    federation = study.federation
    cohort = draw_cohort(sites, fraction=federation.fraction, seed=study.seed, round_number=1)
    name = study.aggregation.name
    return raised_quorum(federation.quorum, strategy_of(study), name=name, cohort_size=len(cohort))


def all_of(updates: Iterable[ClientUpdate], least: int) -> list[ClientUpdate]:
    """Return the updates in a list. Raises ParticipationError where there are fewer than `least`."""
    found = list(updates)
    if len(found) < least:
        raise ParticipationError(f"the strategy needs {least} accepted updates in a round, and has {len(found)}")
    return found
