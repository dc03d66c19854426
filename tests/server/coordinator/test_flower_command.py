"""What a failed command of Flower's becomes, by the words that Flower itself has for it."""

from flwr.cli.utils import _format_flower_error
from flwr.supercore.error import ApiErrorCode, FlowerError

from common.errors import UserError
from server.coordinator.flower_command import UnknownRunError, failure


def said(code: int) -> str:
    """What `flwr` prints of a refusal, after what it was about to do (measured with 1.41)."""
    return f"Using SuperLink: local Displaying run ID 5... {_format_flower_error(FlowerError(code, 'not there'))}"


def test_a_run_that_the_superlink_does_not_know_is_told_from_every_other_failure() -> None:
    codes = {code: failure("list local", said(code)) for code in ApiErrorCode}
    assert [code for code, error in codes.items() if isinstance(error, UnknownRunError)] == [
        ApiErrorCode.RUN_ID_NOT_FOUND
    ]
    assert str(codes[ApiErrorCode.RUN_ID_NOT_FOUND]).endswith("[code: 16] not there")


def test_a_failure_without_words_is_said() -> None:
    error = failure("run app", "")
    assert type(error) is UserError
    assert str(error) == "flwr run app: no answer"
