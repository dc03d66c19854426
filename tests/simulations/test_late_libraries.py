"""What stands for torch's compiler and its unknown sizes until they are loaded, against torch itself."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from simulations.late_libraries import COMPILER, CONDITIONS, DTENSORS, SHAPES, compiler, import_libraries, shapes

VALUES = {
    **{name: [(True,), (False,)] for name in CONDITIONS},
    "sym_eq": [((2, 3), (2, 3)), ((2, 3), (3, 2)), ((2,), (2, 3)), (2, 2), (2, 3), ((), ())],
    "is_nested_int": [(0,), (3,)],
}
TRAIN = """
import sys, torch
from simulations.late_libraries import import_libraries
import_libraries()
from transformers import BertConfig, BertModel
import peft
config = BertConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=20)
model = peft.get_peft_model(BertModel(config), peft.LoraConfig(r=2, target_modules=["query"]))
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True)
model(torch.ones(2, 3, dtype=torch.long)).last_hidden_state.sum().backward()
optimizer.step()
optimizer.zero_grad()
late = [name for name in {names!r} if type(sys.modules.get(name)).__name__ != "LateModule" and name in sys.modules]
assert not late, late
"""
COMPILE = """
double = torch.compile(lambda x: x * 2, backend="eager")
assert double(torch.ones(2)).tolist() == [2.0, 2.0]
assert type(sys.modules["torch._dynamo"]).__name__ == "module"
from torch.distributed.tensor import DTensor
assert isinstance(DTensor, type) or issubclass(DTensor, torch.Tensor)
optimizer.zero_grad()
model.disable_adapter_layers()
"""


def run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_training_step_loads_none_of_it_and_a_compilation_what_it_needs() -> None:
    program = TRAIN.replace("{names!r}", repr([COMPILER, SHAPES, DTENSORS, "sympy"]))
    run(program + COMPILE)


@pytest.mark.parametrize("name", VALUES)
def test_what_is_known_is_answered_as_torch_does(name: str) -> None:
    root, theirs = shapes(), getattr(importlib.import_module(SHAPES), name)
    for values in VALUES[name]:
        assert root.answers[name](*values) == theirs(*values)
    assert not root.is_loaded


def test_a_size_that_is_not_known_is_asked_of_torch() -> None:
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    root = shapes()
    size = ShapeEnv().create_unbacked_symint()
    assert not root.answers["guard_or_false"](size == 3)
    assert root.is_loaded


def test_functions_are_marked_for_the_compiler_once_it_is_loaded() -> None:
    root = compiler()

    def plain(x: int) -> int:
        return x + 1

    disabled = root.answers["disable"](plain)
    later: Callable[..., Any] = root.answers["disable"](recursive=False)
    root.answers["graph_break"]()
    assert root.answers["assume_constant_result"](plain) is plain
    assert (disabled(1), later(plain)(1), disabled.__name__) == (2, 2, "plain")
    assert not root.is_loaded
    assert not hasattr(plain, "_dynamo_marked_constant")
    root.load()
    assert plain._dynamo_marked_constant
    assert disabled(1) == 2
    assert root.load() is torch._dynamo


def test_it_is_imported_once() -> None:
    import_libraries()
    finders = list(sys.meta_path)
    import_libraries()
    assert sys.meta_path == finders
