"""Choosing by runs over the same patients is no free look at them: what a private study is told of that."""

from common.protecting import mechanism_of
from common.study import Study


def search_warning(study: Study, runs: int) -> str | None:
    """Return what so many runs over the same patients mean; None where nothing hides them.

    At a real site each run spends in the ledger. A simulation's runs are in no ledger but their own.
    """
    if mechanism_of(study).unit != "patient" or runs < 2:
        return None
    return (
        f"{runs} runs looked at the same patients, and each spends: a promise about what was chosen among them counts "
        f"all of them. Choose on other patients, or on made-up rows, or plan for it: fedpeft privacy plan --runs {runs}"
    )
