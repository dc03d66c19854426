"""Modules that load when something in them is used, not when others import them, so that a program starts sooner.

A large library imports for its smallest task what its largest needs. Within `late`, an import of a module of such a
`Root` makes one without content; a name imported from it stands for the real thing, which loads as soon as the name is
called, compared, subclassed, or asked for anything. The one exception makes it worth while: `isinstance` says False
without loading, since of a class that does not exist yet there is no instance. A name that a module lacks is an error
only when it is used.

After Cannon and Moisset 2022, https://peps.python.org/pep-0690/, for chosen modules; `importlib.util.LazyLoader` does
not do, since with it `from module import name` loads at once.
"""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import MappingProxyType, ModuleType
from typing import Any  # a name in a module stands for anything


@dataclass(eq=False)
class Root:
    """A module that is late, and those below it.

    answers: functions of it that need not load it, by name. alone: the modules below it are not late. stays: late also
    for imports after the block of `late`. after: called with the real module once it is loaded.
    """

    name: str
    answers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    alone: bool = False
    stays: bool = False
    after: list[Callable[[ModuleType], object]] = field(default_factory=list)
    is_loaded: bool = False

    def covers(self, name: str) -> bool:
        """Whether the module `name` is one of these."""
        return name == self.name or (name.startswith(f"{self.name}.") and not self.alone)

    def load(self) -> ModuleType:
        """Return the real module; what stood for it and its names in other modules is replaced."""
        if not self.is_loaded:
            self.is_loaded = True
            self.forget()
            found = importlib.import_module(self.name)
            self._replace()
            for call in self.after:
                call(found)
        return importlib.import_module(self.name)

    def forget(self) -> None:
        """Have further imports find no late module of this root."""
        for name, module in list(sys.modules.items()):
            if isinstance(module, LateModule) and module._late_root is self:
                del sys.modules[name]
                parent, _, child = name.rpartition(".")
                vars(sys.modules.get(parent, module)).pop(child, None)

    def _replace(self) -> None:
        for module in list(sys.modules.values()):
            for name, value in list(vars(module).items()):
                if type(value) is LateName and value._late_module._late_root is self:
                    vars(module)[name] = real(value)


class LateName:
    """Stands for a name of a late module, or for one of something in it: `path`, dotted."""

    _late_module: LateModule
    _late_path: str

    def __init__(self, module: LateModule, path: str) -> None:
        vars(self).update(_late_module=module, _late_path=path)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self._late_module._late_root.is_loaded:
            return getattr(real(self), name)
        return LateName(self._late_module, f"{self._late_path}.{name}")

    def __setattr__(self, name: str, value: object) -> None:
        setattr(real(self), name, value)

    def __instancecheck__(self, instance: object) -> bool:
        return self._late_module._late_root.is_loaded and isinstance(instance, real(self))

    def __subclasscheck__(self, subclass: type) -> bool:
        return self._late_module._late_root.is_loaded and issubclass(subclass, real(self))

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[Any, ...]:
        return (real(self),)


OPERATIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "bool": bool,
        "call": operator.call,
        "contains": operator.contains,
        "enter": lambda manager: manager.__enter__(),
        "eq": operator.eq,
        "exit": lambda manager, *error: manager.__exit__(*error),
        "getitem": operator.getitem,
        "hash": hash,
        "iter": iter,
        "len": len,
        "ne": operator.ne,
        "or": operator.or_,
        "repr": repr,
        "ror": lambda mine, other: other | mine,
        "str": str,
    }
)
"""What Python asks of an object's class, and not of the object."""


def _forwarded(operation: Callable[..., Any]) -> Callable[..., Any]:
    return lambda name, *arguments, **named: operation(real(name), *arguments, **named)


for _name, _operation in OPERATIONS.items():
    setattr(LateName, f"__{_name}__", _forwarded(_operation))


def real(name: LateName) -> Any:
    """Return what `name` stands for; loads its module."""
    return operator.attrgetter(name._late_path)(name._late_module._late_real())


class LateModule(ModuleType):
    """Stands for a module until something in it is used."""

    _late_root: Root

    def __getattr__(self, name: str) -> Any:
        root = self._late_root
        if root.is_loaded or (root.alone and not name.startswith("__")):
            return getattr(self._late_real(), name)
        if name.startswith("__"):  # asked by import itself, of every module
            raise AttributeError(f"module {self.__name__!r}, which is not loaded yet, has no attribute {name!r}")
        answer = root.answers.get(name) if self.__name__ == root.name else None
        return LateName(self, name) if answer is None else answer

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("__") or isinstance(value, ModuleType):  # as import does
            vars(self)[name] = value
        else:
            setattr(self._late_real(), name, value)

    def _late_real(self) -> ModuleType:
        self._late_root.load()
        return importlib.import_module(self.__name__)


@dataclass(frozen=True)
class _Finder(MetaPathFinder, Loader):
    """Answers an import of what one of the roots covers."""

    roots: Sequence[Root]

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002 # Python's own signature
    ) -> ModuleSpec | None:
        root = self._root_of(fullname)
        if root is None:
            return None
        spec = ModuleSpec(fullname, self, is_package=True)
        if root.alone:
            found = PathFinder.find_spec(fullname, path)
            spec.submodule_search_locations = found.submodule_search_locations if found else []
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = LateModule(spec.name)
        vars(module)["_late_root"] = self._root_of(spec.name)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: that is late."""

    def _root_of(self, name: str) -> Root | None:
        return next((root for root in self.roots if root.covers(name) and not root.is_loaded), None)


@contextmanager
def late(roots: Sequence[Root]) -> Iterator[None]:
    """Import within the block what `roots` name, as far as it is not loaded already, only when it is used."""
    fresh = [root for root in roots if root.name not in sys.modules]
    finder, lasting = _Finder(fresh), _Finder([root for root in fresh if root.stays])
    sys.meta_path[:0] = [finder, lasting]
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for root in fresh:
            if not (root.stays or root.is_loaded):
                root.forget()
