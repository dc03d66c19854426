"""What is known of a strategy from its file alone: the list and the documentation's table are of this."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final  # JSON values

from common import plugins
from common.method_commands import first_sentence, options_of

PACKAGE: Final = "server.aggregation"


@dataclass(frozen=True)
class StrategyFacts:
    """One strategy. up, down: numbers of 4 bytes per LoRA layer, site and round; see `server.aggregation.Strategy`.

    exact: the next B A is the mean of the clients' B A. linear: a sum of updates is all it needs. ranks: it goes with
    `federation.ranks`. options: as a study would write them, with their defaults.
    """

    name: str
    summary: str
    exact: bool
    linear: bool
    ranks: bool
    needs_lora: bool
    up: str
    down: str
    options: tuple[str, ...]

    @property
    def secure_aggregation(self) -> bool:
        """Whether it can do without single updates, which secure aggregation hides."""
        return self.linear

    def to_json(self) -> dict[str, Any]:
        """Return a value for machines."""
        return {**vars(self), "options": list(self.options), "secure_aggregation": self.secure_aggregation}


def facts_of(name: str) -> StrategyFacts:
    """Return what the file of the strategy `name` says of itself, its claims with the options' defaults."""
    module = plugins.load(PACKAGE, name, key="aggregation.name")
    kind = module.build
    claims = plugins.build(PACKAGE, name, {}, key="aggregation.name").claims
    return StrategyFacts(
        name=name,
        summary=first_sentence(module.__doc__ or kind.__doc__ or ""),
        exact="exact" in claims,
        linear=not kind.needs_individual_updates,
        ranks="ranks" in claims,
        needs_lora=kind.needs_lora,
        up=kind.up,
        down=kind.down,
        options=tuple(options_of(kind)),
    )


def described(facts: StrategyFacts) -> list[str]:
    """Return four lines on a strategy for the terminal."""
    words: Mapping[bool, str] = {True: "yes", False: "no"}
    indent = " " * 4
    return [
        f"{facts.name}: {_without_name(facts)}",
        f"{indent}exact: {words[facts.exact]}; linear, and so goes with secure aggregation: {words[facts.linear]}; "
        f"goes with federation.ranks: {words[facts.ranks]}; needs LoRA: {words[facts.needs_lora]}",
        f"{indent}up 4*({facts.up}) and down 4*({facts.down}) bytes per LoRA layer and site",
        f"{indent}options: {', '.join(facts.options) or 'none'}",
    ]


def _without_name(facts: StrategyFacts) -> str:
    """Return the summary without a first word that is the name again: `FedAvg: the next ...`."""
    first, colon, rest = facts.summary.partition(": ")
    return rest if colon and " " not in first else facts.summary


def markdown(strategies: Iterable[StrategyFacts]) -> str:
    """Return the table of the documentation, one row per strategy."""
    promises = ("exact", "linear, secure aggregation", "`federation.ranks`", "needs LoRA")
    header = ("strategy", "what it is", *promises, "bytes up", "bytes down", "options (default)")
    words: Mapping[bool, str] = {True: "yes", False: "no"}
    rows = [
        (
            f"`{facts.name}`",
            facts.summary,
            *(words[each] for each in (facts.exact, facts.linear, facts.ranks, facts.needs_lora)),
            f"`4*({facts.up})`",
            f"`4*({facts.down})`",
            ", ".join(f"`{option}`" for option in facts.options) or "none",
        )
        for facts in strategies
    ]
    return "\n".join(_row(cells) for cells in (header, ("---",) * len(header), *rows))


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
