"""Fixed words for what Flower carries in place of an answer: a code comes with a reason, which may quote an exception.

Codes below 1000 are Flower's own. Above are ours: a gateway's reply where the trainer gave no answer.
"""

from typing import Final

from flwr.app import Error, Message

_FLOWER: Final = {
    0: "UNKNOWN_FAILURE",
    1: "APP_NOT_LOADED",
    2: "APP_FAILED",
    3: "MESSAGE_UNAVAILABLE",
    4: "REPLY_UNAVAILABLE",
    5: "SITE_UNAVAILABLE",
    6: "PRECONDITION_FAILED",
    7: "APP_REFUSED",
    8: "APP_CRASHED",
}

GATEWAY_FAILURES: Final = (
    "GATEWAY_ERROR",
    "APP_REFUSED",
    "TRAINER_UNAVAILABLE",
    "DEADLINE",
    "BUSY",
    "TOO_LARGE",
    "REFUSED_BY_POLICY",
    "MALFORMED_REQUEST",
    "TRAINING_FAILED",
)
"""What a gateway says for the trainer. A word keeps its place: its code is counted from it."""

_FIRST: Final = 1000


def failure_reply(word: str, message: Message) -> Message:
    """Return the reply that says `word`, GATEWAY_ERROR if it is not one of `GATEWAY_FAILURES`."""
    known = word if word in GATEWAY_FAILURES else GATEWAY_FAILURES[0]
    return Message(Error(code=_FIRST + GATEWAY_FAILURES.index(known), reason=known), reply_to=message)


def word_of(code: int) -> str:
    """Return the fixed word of an error's code.

    >>> word_of(5), word_of(1002), word_of(77)
    ('SITE_UNAVAILABLE', 'TRAINER_UNAVAILABLE', 'ERROR_77')
    """
    if _FIRST <= code < _FIRST + len(GATEWAY_FAILURES):
        return GATEWAY_FAILURES[code - _FIRST]
    return _FLOWER.get(code, f"ERROR_{code}")
