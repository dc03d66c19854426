from pathlib import Path

import pytest

from common.errors import UserError
from common.web.token import Token
from server.dashboard.folders import Source
from server.dashboard.writing import NotAllowedError, act, check_token
from server.run_folder import RunFolder, RunState


@pytest.mark.parametrize(("token", "header"), [(None, "Bearer x"), (Token("x"), None), (Token("x"), "Bearer y")])
def test_without_the_token_nothing_is_allowed(token: Token | None, header: str | None) -> None:
    with pytest.raises(NotAllowedError):
        check_token(token, header)


def test_with_the_token_it_is() -> None:
    check_token(Token("x"), "Bearer x")


def run_of(folder: Path, state: RunState) -> RunFolder:
    run = RunFolder(folder / "runs" / "first")
    run.note(state)
    return run


def test_a_run_without_a_process_is_cancelled_as_the_command_does(tmp_path: Path) -> None:
    run = run_of(tmp_path, RunState("submitted", ""))
    assert act(Source(tmp_path, "coordinator"), run, "cancel") == "cancelled first"
    assert run.state().state == "cancelled"


def test_what_cannot_be_is_said_and_changes_nothing(tmp_path: Path) -> None:
    run = run_of(tmp_path, RunState("finished", "7"))
    with pytest.raises(UserError, match="ended already"):
        act(Source(tmp_path, "coordinator"), run, "cancel")
    with pytest.raises(UserError):  # the coordinator does not run
        act(Source(tmp_path, "coordinator"), run, "resume")
    assert run.state() == RunState("finished", "7")


@pytest.mark.parametrize(("action", "words"), [("cancel", "Ctrl-C"), ("resume", "--out first --resume")])
def test_a_simulated_run_is_not_touched(tmp_path: Path, action: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        act(Source(tmp_path, "simulated"), RunFolder(tmp_path / "runs" / "first"), action)
