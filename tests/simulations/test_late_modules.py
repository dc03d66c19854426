"""Late modules against the real ones, of small packages made for it."""

import importlib
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from simulations.late_modules import LateModule, LateName, Root, late

HEAVY = """
    class Kind:
        LIMIT = 3
    class Manager:
        def __enter__(self): return 5
        def __exit__(self, *error): return True
    NUMBER, EMPTY, TABLE, MANAGER = 7, (), {"a": 1}, Manager()
    def twice(x, *, plus=0): return 2 * x + plus
"""
USER = """
    import heavy.inner
    from heavy import EMPTY, Kind, MANAGER, NUMBER, TABLE, twice
    from heavy.inner import deep
    def is_kind(x): return isinstance(x, Kind)
"""


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Packages `heavy`, with a module `inner`, and `user`, which imports names of both."""
    for name, text in {"heavy/__init__": HEAVY, "heavy/inner": "def deep(): return 'deep'", "user": USER}.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    finders = list(sys.meta_path)
    yield tmp_path
    sys.meta_path[:] = finders
    for name in [name for name in sys.modules if name.split(".")[0] in ("heavy", "user")]:
        del sys.modules[name]


def imported_late(root: Root) -> ModuleType:
    with late([root]):
        return importlib.import_module("user")


USES = {
    "call": lambda user: user.twice(4, plus=1) == 9,
    "call of a class": lambda user: type(user.Kind()).__name__ == "Kind",
    "attribute": lambda user: user.Kind.LIMIT == 3,
    "equality": lambda user: user.NUMBER == 7,
    "inequality": lambda user: user.NUMBER != 8,
    "truth": lambda user: bool(user.NUMBER) and not user.EMPTY,
    "length": lambda user: len(user.TABLE) == 1,
    "membership": lambda user: "a" in user.TABLE,
    "iteration": lambda user: list(user.TABLE) == ["a"],
    "item": lambda user: user.TABLE["a"] == 1,
    "hash": lambda user: {7: "found"}[user.NUMBER] == "found",
    "text": lambda user: f"{user.NUMBER}" == repr(user.NUMBER) == "7",
    "union": lambda user: isinstance(3, user.Kind | int) and isinstance(3, int | user.Kind),
    "subclass": lambda user: issubclass(types.new_class("Mine", (user.Kind,)), importlib.import_module("heavy").Kind),
    "of a module below": lambda user: user.deep() == user.heavy.inner.deep() == "deep",
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_use_loads_and_is_that_of_the_real_thing(user: Path, use: object) -> None:
    root = Root("heavy")
    found = imported_late(root)
    assert not root.is_loaded
    assert type(found.Kind) is LateName
    assert callable(use)
    assert use(found)
    assert root.is_loaded
    assert found.Kind is importlib.import_module("heavy").Kind  # in place of what stood for it
    assert not any(isinstance(module, LateModule) for module in sys.modules.values() if module.__name__ == "heavy")


def test_a_context_manager_is_entered_and_left(user: Path) -> None:
    found = imported_late(Root("heavy"))
    with found.MANAGER as value:
        raise ValueError
    assert value == 5


def test_isinstance_loads_nothing_and_is_right_before_and_after(user: Path) -> None:
    root = Root("heavy")
    found = imported_late(root)
    kept = found.Kind
    assert not found.is_kind(3)
    assert not isinstance(3, (str, found.Kind))
    assert not root.is_loaded
    one = found.Kind()
    assert found.is_kind(one)
    assert isinstance(one, kept)
    assert issubclass(type(one), kept)


def test_after_the_block_others_get_the_real_module_unless_it_stays(user: Path) -> None:
    imported_late(Root("heavy"))
    assert importlib.import_module("heavy").NUMBER == 7
    assert not isinstance(sys.modules["heavy"], LateModule)


def test_what_stays_answers_until_it_is_loaded(user: Path) -> None:
    told: list[ModuleType] = []
    root = Root("heavy", answers={"twice": lambda x: ("answered", x)}, stays=True, after=[told.append])
    found = imported_late(root)
    assert found.twice(1) == ("answered", 1)
    assert isinstance(importlib.import_module("heavy.inner"), LateModule)
    assert not root.is_loaded
    assert importlib.import_module("heavy").NUMBER == 7
    assert told == [sys.modules["heavy"]]
    assert importlib.import_module("heavy").twice(1) == 2


def test_a_setting_is_made_in_the_real_module(user: Path) -> None:
    root = Root("heavy", stays=True)
    imported_late(root)
    sys.modules["heavy"].NUMBER = 8  # type: ignore[attr-defined] # a module made for this test
    assert importlib.import_module("heavy").NUMBER == 8


def test_of_a_module_alone_those_below_are_real(user: Path) -> None:
    root = Root("heavy", alone=True, stays=True)
    with late([root]):
        inner = importlib.import_module("heavy.inner")
    assert inner.deep() == "deep"
    assert not root.is_loaded
    assert importlib.import_module("heavy").inner is inner  # as import sets it
    assert importlib.import_module("heavy").NUMBER == 7


def test_what_is_loaded_already_is_left_alone(user: Path) -> None:
    before = importlib.import_module("heavy")
    found = imported_late(Root("heavy"))
    assert found.Kind is before.Kind


def test_a_module_that_does_not_exist_is_an_import_error_when_it_is_used(user: Path) -> None:
    with late([Root("heavy.absent")]):
        name = importlib.import_module("heavy.absent").anything
    with pytest.raises(ModuleNotFoundError, match=r"heavy\.absent"):
        name()
