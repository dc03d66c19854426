"""One ONNX file of base model, adapter, pooling and head, for encoders and image models; onnxruntime needs no torch.

Batch and length vary. The file is run by onnxruntime on made-up rows of odd lengths, in batches of odd sizes, beside
torch: above `TOLERANCE` nothing is left. Methods that merge are merged first; others are traced as they compute.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.export import Order
from client.opening import Opened, open_model
from client.whole_model import is_whole_model
from common.adapter_folder import task_json
from common.errors import UserError
from common.files import write_bytes, write_json

FILE = "model.onnx"
TOLERANCE = 1e-4
"""Of max(1, |output|) before softmax or sigmoid."""
NEEDED = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Onnx:
    """The format; it has no options."""

    def write(self, order: Order, folder: Path) -> Iterator[str]:
        """Write the file, run it and compare. Raises UserError."""
        check_installed(NEEDED)
        if is_whole_model(order.place.folder):
            raise UserError(f"{order.place.folder} was exported whole; export from the adapter's folder")
        opened = open_model(order.place, private=order.private, precision="fp32")
        if opened.bench.task.architecture == "causal-lm":
            raise UserError("--format onnx is for encoders, and this study's model writes text; use peft or merged")
        deviation = _written(opened, folder / FILE)
        check_deviation(deviation)
        _write_rest(opened, order.place.base, folder)
        yield f"onnxruntime's outputs are torch's to within {deviation:.1e} (at most {TOLERANCE:.0e})"


def check_installed(needed: Sequence[str]) -> None:
    """Raise UserError where one of these packages is not installed."""
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--format onnx needs {missing[0]}, which is not installed; pip install 'fedpeft[onnx]'")


def check_deviation(found: float) -> None:
    """Raise UserError where onnxruntime's outputs are further from torch's than `TOLERANCE`, or are not finite."""
    if not found <= TOLERANCE:
        raise UserError(
            f"onnxruntime's outputs differ from torch's by {found:.1e} of an output, expected at most {TOLERANCE:.0e}; "
            "nothing was written: use --format merged or int8"
        )


def _written(opened: Opened, file: Path) -> float:
    """Write the file and return how far its outputs are from the adapter's."""
    import torch

    from client.export._graph import graph_of, inputs_of, largest_deviation, write_onnx
    from client.export._merging import is_mergeable, merged_base
    from client.export._probe import outputs, probes

    bench = opened.bench
    examples = probes(bench)
    outputs(bench, examples[:1])  # evaluation mode, which peft's merging keeps
    model = merged_base(opened) if is_mergeable(bench) else bench.model
    traced = graph_of(bench, model)
    try:
        write_onnx(traced, inputs_of(bench, traced, examples[3:6]), file)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"peft.method = {opened.study.peft.method!r} on this base model cannot be written as ONNX "
            f"({type(error).__name__}: {reason[:120]}); use --format merged or int8"
        ) from None
    return largest_deviation(file, bench, traced, examples)


def _write_rest(opened: Opened, base: Path, folder: Path) -> None:
    from client.export._folder import copy_reader
    from client.export._onnx_readme import onnx_readme

    copy_reader(base, folder)
    if opened.bench.task.architecture != "image" and not (folder / "tokenizer.json").is_file():
        opened.bench.reader.save_pretrained(folder)
    write_json(folder / "task.json", {**task_json(opened.study), "max_length": opened.bench.max_length})
    write_bytes(folder / "README.md", onnx_readme(opened).encode())


build = Onnx
