"""What a study's strategy does not go with, refused when the study is checked: PEFT methods, LoRA ranks, sums.

It asks the strategy, and knows none by name: a new one is checked by what it declares. It lies here, where both sides
read a study, and sees strategies by what they declare only, since they are the server's.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol  # options are typed by the methods

from common import plugins
from common.errors import StudyError
from common.lora_pairs import pairs_of
from common.state import AdapterSchema
from common.study import Study

STRATEGIES: Final = "server.aggregation"
METHODS: Final = "common.peft_methods"


class Declared(Protocol):
    """What a strategy says of itself, see `server.aggregation.Strategy`."""

    @property
    def needs_individual_updates(self) -> bool:
        """Whether a weighted sum is not enough."""

    @property
    def needs_lora(self) -> bool:
        """Whether it is about the pairs of LoRA."""

    @property
    def claims(self) -> frozenset[Any]:
        """What it promises, `ranks` among them."""


def mean_is_exact(study: Study, strategy: Declared) -> bool:
    """Whether what the strategy makes of the sites' models is their mean, by the study's method and its own claim.

    A method whose tensors average exactly has it with a strategy that is a mean (an optimiser's step or a median is
    none), LoRA with one that is exact. A mean claims `consensus`, `additive`, and `linear` or `exact`, which is said of
    all tensors.
    """
    is_mean = {"consensus", "additive"} <= strategy.claims and not strategy.claims.isdisjoint({"linear", "exact"})
    return all(
        (is_mean and plugins.build(METHODS, name, options, key="peft.method").aggregates_linearly)
        or (name == "lora" and not options.get("dora") and "exact" in strategy.claims)
        for name, options in method_parts(study.peft.method, study.peft.options)
        if name != "hybrid"
    )


def check_strategy(study: Study, strategy: Declared) -> None:
    """Raise StudyError where the study's strategy does not go with its method or its ranks."""
    _check_method(study, strategy)
    _check_ranks(study, strategy)


def check_sum_is_enough(study: Study, strategy: Declared) -> None:
    """Raise StudyError where the study's strategy needs more than the privacy mechanism gives it: a sum of updates."""
    if _needs_sum_only(strategy):
        return
    raise StudyError(
        f"{_name(study)} needs every site's own update, and privacy.mechanism = {study.privacy.mechanism!r} reveals "
        f"their sum only; expected a strategy that a sum is enough for: {_named(_needs_sum_only)}"
    )


def _needs_sum_only(strategy: Declared) -> bool:
    return "linear" in strategy.claims and not strategy.needs_individual_updates


def _check_method(study: Study, strategy: Declared) -> None:
    if strategy.needs_lora and not list(_plain_lora(study)):
        others = _named(lambda kind: not kind.needs_lora)
        raise StudyError(
            f"{_name(study)} is about LoRA's factors A and B alone, and peft.method = {_method(study)}; expected "
            f"peft.method = 'lora' without dora (or hybrid with it), or a strategy for any method: {others}"
        )


def _check_ranks(study: Study, strategy: Declared) -> None:
    ranks = study.federation.ranks
    if not ranks:
        return
    if "ranks" not in strategy.claims:
        able = _named(lambda kind: "ranks" in kind.claims)
        raise StudyError(
            f"federation.ranks gives sites ranks of their own, which {_name(study)} cannot combine; leave it out, or "
            f"choose a strategy that can: {able}"
        )
    lora = list(_plain_lora(study))
    if not lora:
        raise StudyError(
            f"federation.ranks is about LoRA, and peft.method = {_method(study)}; leave it out, or choose "
            "peft.method = 'lora' without dora"
        )
    largest = max(rank for method in lora for rank in (method.rank, *method.ranks.values()))
    site, rank = max(ranks.items(), key=lambda item: item[1])
    if rank > largest:
        raise StudyError(
            f"federation.ranks gives {site!r} rank {rank}, above the study's own, peft.rank = {largest}; expected at "
            f"most that: lower the site's, or raise peft.rank to {rank}"
        )


def check_shared_pairs(study: Study, strategy: Declared, schema: AdapterSchema) -> None:
    """Raise StudyError where `peft.private` keeps a factor at the sites that the strategy needs beside the other."""
    if not strategy.needs_lora:
        return
    shared = frozenset(schema.shared.names)
    pairs = pairs_of(schema.names)
    for pair in pairs:
        kept = [name for name in (pair.a, pair.b) if name not in shared]
        if len(kept) == 1:
            raise StudyError(
                f"{_name(study)} needs both factors of a LoRA pair, and peft.private keeps {kept[0]!r} at the sites "
                f"but not the other; take that pattern out, or name both, or choose a strategy for any method: "
                f"{_named(lambda kind: not kind.needs_lora)}"
            )
    if not any(pair.a in shared for pair in pairs):
        raise StudyError(f"{_name(study)} is about LoRA's pairs, and peft.private keeps all of them at the sites")


def _plain_lora(study: Study) -> Iterator[Any]:
    """Yield the parts of the study's method that are LoRA with no more than A and B (DoRA has a magnitude besides)."""
    for name, options in method_parts(study.peft.method, study.peft.options):
        if name == "lora":
            method = plugins.build(METHODS, name, options, key="peft.method")
            if not method.dora:
                yield method


def method_parts(name: str, options: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the method and, of one that is made of others (`hybrid`), these, each with its options."""
    yield name.replace("_", "-"), options
    built = plugins.build(METHODS, name, options, key="peft.method")
    for value in vars(built).values():
        if isinstance(value, Mapping) and "method" in value:
            yield from method_parts(str(value["method"]), {key: each for key, each in value.items() if key != "method"})


def _method(study: Study) -> str:
    dora = any(
        name == "lora" and options.get("dora") for name, options in method_parts(study.peft.method, study.peft.options)
    )
    return f"{study.peft.method!r}" + (" with dora" if dora else "")


def _name(study: Study) -> str:
    return f"aggregation.name = {study.aggregation.name!r}"


def _named(holds: Callable[[Any], bool]) -> str:
    """Return the names of the strategies of which this holds by default, those of the user's own folders too."""
    names = [*plugins.available(STRATEGIES), *plugins.registered(STRATEGIES)]
    found = [name for name in names if holds(plugins.build(STRATEGIES, name, {}, key="aggregation.name"))]
    return ", ".join(found) or "none of those here can"
