"""The policy in force, rule by rule, in the words of its own file."""

from collections.abc import Sequence

from client.dashboard.cells import Table, count, table
from client.policy import Policy
from client.policy_text import comment_of

_BYTES = frozenset({"max_update_bytes", "max_study_bytes"})
_EMPTY = {
    "coordinators": "nobody: no study can be approved",
    "hours": "at any time",
    "methods": "none",
    "metrics": "none",
    "tensors": "none",
}


def policy_table(policy: Policy) -> Table:
    """Return every rule with its value and what it means."""
    values = policy.model_dump(mode="json")
    rows = [[name, rule_text(name, value), comment_of(name)] for name, value in values.items()]
    return table("Every rule of policy.toml, with its value now", ["Rule", "Value", "What it means"], rows)


def rule_text(name: str, value: object) -> str:
    """Return a rule's value in words.

    >>> rule_text("hours", []), rule_text("release_histograms", False), rule_text("max_update_norm", None)
    ('at any time', 'no', 'without a bound')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "without a bound"
    if isinstance(value, int):
        return f"{count(value)} bytes" if name in _BYTES else count(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or _EMPTY.get(name, "none")
    return str(value) if value != "" else "none"
