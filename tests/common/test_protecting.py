"""The mechanism that a study names, by what its file declares."""

from collections.abc import Callable

import pytest

from common import plugins
from common.errors import StudyError
from common.protecting import PACKAGE, mechanism_of
from common.study import Study

Make = Callable[..., Study]


def test_without_a_word_of_privacy_nothing_is_promised(make_study: Make) -> None:
    mechanism = mechanism_of(make_study())
    assert mechanism.unit is None
    assert mechanism.guarantee(make_study()) is None


@pytest.mark.parametrize("name", plugins.available(PACKAGE))
def test_every_mechanism_says_what_it_does_in_one_line(name: str) -> None:
    mechanism = plugins.build(PACKAGE, name, {}, key="privacy.mechanism")
    assert mechanism.in_words
    assert "\n" not in mechanism.in_words


def test_what_does_not_exist_is_refused_with_what_does(make_study: Make) -> None:
    with pytest.raises(StudyError, match=r"privacy.mechanism = 'dp' does not exist; there are: none"):
        make_study("privacy.mechanism=dp")
    with pytest.raises(StudyError, match="has no option 'epsilon'; it has: none"):
        make_study("privacy.epsilon=3.0")
