"""The function that an ONNX file holds: from token ids, or pixels, to the task's outputs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # transformers' models are untyped

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.export._probe import growing
from client.forward import pad_id
from common.tasks import AnyExample, Task
from common.workbench import Workbench

OPSET = 20


class TextGraph(nn.Module):
    """(input_ids, attention_mask), each (batch, length) int64, to the task's logits in float32."""

    def __init__(self, task: Task, model: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.task, self.model, self.head = task, model, head

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits."""
        return self.task.logits(self.model, self.head, {"input_ids": input_ids, "attention_mask": attention_mask})


class ImageGraph(nn.Module):
    """pixel_values (batch, channels, height, width) float32, normalised, to the task's logits in float32."""

    def __init__(self, task: Task, model: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.task, self.model, self.head = task, model, head

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return the logits."""
        return self.task.logits(self.model, self.head, {"pixel_values": pixel_values})


@dataclass(frozen=True)
class Traced:
    """What is traced: the graph, its inputs' names, and which of their dimensions vary."""

    graph: nn.Module
    names: tuple[str, ...]
    dynamic: Mapping[str, Mapping[int, Any]]


def graph_of(bench: Workbench, model: nn.Module) -> Traced:
    """Return what is to be traced, in evaluation mode, of `model` and the workbench's task and head."""
    batch = torch.export.Dim("batch", min=1, max=65536)
    if bench.task.architecture == "image":
        found = ImageGraph(bench.task, model, bench.head)
        return Traced(found.eval(), ("pixel_values",), {"pixel_values": {0: batch}})
    length = torch.export.Dim("length", min=1, max=bench.max_length)
    names = ("input_ids", "attention_mask")
    graph = TextGraph(bench.task, model, bench.head).eval()
    return Traced(graph, names, {name: {0: batch, 1: length} for name in names})


def inputs_of(bench: Workbench, traced: Traced, examples: Sequence[AnyExample]) -> tuple[Tensor, ...]:
    """Return the graph's inputs of one batch."""
    batch = bench.task.collate(examples, pad_id=pad_id(bench))
    return tuple(batch[name] for name in traced.names)


def write_onnx(traced: Traced, inputs: tuple[Tensor, ...], file: Path) -> None:
    """Trace and write it."""
    with _quietly(), torch.no_grad():
        program = torch.onnx.export(
            traced.graph,
            inputs,
            input_names=list(traced.names),
            output_names=["logits"],
            dynamic_shapes=dict(traced.dynamic),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter gave no program")
    program.save(str(file), external_data=False)


@contextmanager
def _quietly() -> Iterator[None]:
    """torch and onnxscript write of what they do, and warn of each other."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def largest_deviation(file: Path, bench: Workbench, traced: Traced, examples: Sequence[AnyExample]) -> float:
    """Return the largest |onnxruntime - torch| / max(1, |torch|) over batches of 1, 2, 3, ... examples."""
    import onnxruntime

    from client.export._probe import largest_difference

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    wanted: list[NDArray[np.float32]] = []
    found: list[NDArray[np.float32]] = []
    for part in growing(examples):
        inputs = inputs_of(bench, traced, part)
        with torch.inference_mode():
            wanted.append(traced.graph(*inputs).numpy())
        found += session.run(["logits"], {n: t.numpy() for n, t in zip(traced.names, inputs, strict=True)})
    return largest_difference(wanted, found)
