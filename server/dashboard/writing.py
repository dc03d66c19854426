"""Cancel and resume from the page: what `fedpeft server cancel` and `resume` do, by whom has the token."""

import shlex
from functools import partial

from common.errors import FedpeftError, UserError
from common.web.token import Token
from server import submission
from server.coordinator.flower_command import flower
from server.coordinator.registration import check_running
from server.dashboard.folders import Source
from server.run_folder import RunFolder

ACTIONS = ("cancel", "resume")


class NotAllowedError(FedpeftError):
    """The asker has not the token."""


def check_token(token: Token | None, header: str | None) -> None:
    """Raise NotAllowedError unless the `Authorization` header carries the token of this start."""
    if token is None or not token.matches(header):
        raise NotAllowedError("this needs the token that was made when the dashboard started")


def act(source: Source, run: RunFolder, action: str) -> str:
    """Cancel or resume a run and say so. Raises UserError: it cannot be, and what to type instead."""
    if source.kind != "coordinator":
        raise UserError(_of_simulation(run, action))
    ask = partial(flower, source.path)
    if action == "cancel":
        submission.cancel(run, ask)
        return f"cancelled {run.name}"
    check_running(source.path)
    submission.refreshed_state(run, ask)
    submission.submit(run, ask)
    return f"resumed {run.name}"


def _of_simulation(run: RunFolder, action: str) -> str:
    if action == "cancel":
        return "a simulated run is ended where it was started, with Ctrl-C; it can be resumed"
    again = shlex.join(["fedpeft", "simulate", "STUDY", "--out", str(run.path.name), "--resume"])
    return f"a simulated run is resumed where it was started, with the options it had: {again}"
