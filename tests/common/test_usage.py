import pytest

from common import plugins
from common.errors import StudyError
from common.usage import Usage, usage_of


def test_a_snippet_is_filled_in_and_its_braces_are_left_alone() -> None:
    usage = Usage("", "", 'x = f"{a}"\nHEAD = $head_files\nn = min($max_length, 5)\nprice = "$$"')
    code = usage.code(max_length=48, head_files=['"one"', 'f"{a}/two"'])
    names: dict[str, object] = {"a": "folder"}
    exec(code, names)
    assert (names["x"], names["HEAD"], names["n"], names["price"]) == ("folder", ["one", "folder/two"], 5, "$")


@pytest.mark.parametrize("kind", plugins.available("common.tasks"))
def test_every_task_has_one(kind: str) -> None:
    usage = usage_of(kind)
    assert usage.pooling
    assert usage.pipeline_tag
    compile(usage.code(max_length=8, head_files=["''"]), kind, "exec")


def test_a_task_that_does_not_exist_is_a_users_mistake() -> None:
    with pytest.raises(StudyError, match="sequence-classification"):
        usage_of("dreaming")
