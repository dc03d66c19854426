"""The imports of transformers and peft without what they load for others: half of the time a process takes to start.

torch compiles nothing here, unless somebody asks it to; transformers' DTensors are for models over several machines,
its boxes, which scipy matches, for detection in images. All of it is late (`simulations.late_modules`), so it is there
for whoever uses it. A hospital's trainer, which starts once in weeks, imports as ever.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any  # a decorated function is any

from simulations.late_modules import Root, late

LIBRARIES = ("transformers.modeling_utils", "peft")
UNUSED = (
    "scipy.optimize",
    "torch.distributed._composable",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "transformers.distributed.expert_parallel",
    "transformers.distributed.tensor_parallel",
)
DTENSORS = "torch.distributed.tensor"
"""transformers asks of each tensor that it loads whether it is one."""
COMPILER = "torch._dynamo"
SHAPES = "torch.fx.experimental.symbolic_shapes"
CONDITIONS = ("expect_true", "guard_or_false", "guard_or_true")
"""What torch asks of a tensor on the meta device, whose sizes may be unknown; a known condition is the answer."""
ALL_MODELS = "transformers.models"
"""Its body looks into every file of every model, once more after `transformers` has done so."""


def import_libraries() -> None:
    """Import transformers and peft, if that is still to be done; torch is first, since it imports all of itself."""
    if all(name in sys.modules for name in LIBRARIES):
        return
    importlib.import_module("torch")
    lasting = [Root(ALL_MODELS, alone=True, stays=True), Root(DTENSORS, stays=True)]
    roots = [*lasting, compiler(), shapes(), *(Root(name) for name in UNUSED)]
    with late(roots):
        for name in LIBRARIES:
            importlib.import_module(name)


def compiler(name: str = COMPILER) -> Root:
    """Return torch's compiler as a late module, since torch imports it for every optimizer's step.

    While it is not loaded nothing is compiled, so a function needs no mark of how it is to be; when it loads, it marks
    those that were asked for before.
    """
    root = Root(name, stays=True)
    answers: dict[str, Callable[..., Any]] = {
        "disable": functools.partial(_disable, root),
        "graph_break": lambda *_, **__: None,
        "allow_in_graph": functools.partial(_mark, root, "allow_in_graph"),
        "assume_constant_result": functools.partial(_mark, root, "assume_constant_result"),
    }
    root.answers = answers
    return root


def shapes(name: str = SHAPES) -> Root:
    """Return torch's module about sizes that are not known yet, which loads sympy, as a late one."""
    root = Root(name, stays=True)
    answers: dict[str, Callable[..., Any]] = {name: functools.partial(_known, root, name) for name in CONDITIONS}
    root.answers = {
        **answers,
        "sym_eq": functools.partial(_equal, root),
        "is_nested_int": functools.partial(_nested, root),
    }
    return root


def _nested(root: Root, size: Any) -> Any:
    return type(size) is not int and root.load().is_nested_int(size)


def _equal(root: Root, first: Any, second: Any) -> Any:
    """Whether two shapes are the same, of which each size is a plain number."""
    sizes = (*first, *second) if isinstance(first, tuple) and isinstance(second, tuple) else (first, second)
    return first == second if all(type(size) is int for size in sizes) else root.load().sym_eq(first, second)


def _known(root: Root, name: str, condition: Any) -> Any:
    return condition if isinstance(condition, bool) else getattr(root.load(), name)(condition)


def _mark(root: Root, name: str, function: Any) -> Any:
    root.after.append(lambda found: getattr(found, name)(function))
    return function


def _disable(root: Root, function: Callable[..., Any] | None = None, recursive: bool = True, **options: Any) -> Any:
    if function is None:
        return functools.partial(_disable, root, recursive=recursive, **options)
    chosen = [function]

    def disable(found: ModuleType) -> None:
        chosen[0] = found.disable(function, recursive, **options)

    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        return chosen[0](*arguments, **named)

    root.after.append(disable)
    return called
