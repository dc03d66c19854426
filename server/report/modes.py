"""The ways of training that are compared: where each stands in the results, and what it is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any  # results are JSON

from server.report.values import section


@dataclass(frozen=True)
class Mode:
    """Path in the `comparison` of results.json, the name where there is little room, and the whole one."""

    path: tuple[str, ...]
    short: str
    name: str

    @property
    def key(self) -> str:
        """The name among the `curves` of results.json."""
        return "/".join(self.path)


MODES = (
    Mode(("federated",), "federated", "Federated (joint model)"),
    Mode(("personalised",), "personalised", "Personalised (joint model, then one's own epoch)"),
    Mode(("local",), "local", "Local (each hospital's own model)"),
    Mode(("central",), "central", "Central (all rows in one place)"),
    Mode(("logistic", "central"), "logistic, central", "Logistic regression, central"),
    Mode(("logistic", "local"), "logistic, local", "Logistic regression, local"),
)


def present_modes(comparison: Mapping[str, Any]) -> list[Mode]:
    """Return the modes that this comparison has, in reading order."""
    return [mode for mode in MODES if section(comparison, *mode.path)]


def curve_name(key: str) -> str:
    """Return what a legend calls the curves under `key`; an unknown key names itself.

    >>> curve_name("federated"), curve_name("logistic/central"), curve_name("other")
    ('Federated', 'Logistic, central', 'other')
    """
    return next((mode.short.capitalize() for mode in MODES if mode.key == key), key)
