"""A whole model whose linear layers and word embeddings have weights in 8 bits (`client.int8_weights`).

The adapter is merged first where it can be; a method that stands beside the weights stays beside them, in float32.
With labelled rows, size, speed and the leading metric are measured beside float32 and bf16.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from client.export import Order
from client.opening import Opened, Place, open_model
from client.whole_model import WEIGHTS, is_whole_model
from common import models
from common.errors import UserError


@dataclass(frozen=True)
class Int8:
    """The format; it has no options."""

    def write(self, order: Order, folder: Path) -> Iterator[str]:
        """Write the model, load it again, and say how far its outputs moved; measure with data. Raises UserError."""
        from client.export._folder import size_text
        from client.export._probe import largest_difference, outputs, probes

        if is_whole_model(order.place.folder):
            raise UserError(f"{order.place.folder} was exported whole; export from the adapter's folder")
        opened = open_model(order.place, private=order.private, precision="fp32")
        examples = probes(opened.bench)
        wanted = outputs(opened.bench, examples)
        full = _write(opened, order.place.base, folder)
        small = open_model(Place(folder, folder), precision="fp32")
        difference = largest_difference(wanted, outputs(small.bench, examples))
        size = (folder / WEIGHTS).stat().st_size
        yield f"weights {size_text(full)} in float32, {size_text(size)} in 8 bits ({full / size:.1f} times smaller)"
        yield f"on made-up rows no output moved by more than {difference:.1e}"
        if order.data is not None:
            yield from _compared(order, folder, full=full, size=size)


def _write(opened: Opened, base_folder: Path, folder: Path) -> int:
    """Write everything, and return the bytes of the weights in float32."""
    from client.export._merging import is_mergeable, merged_base, write_base, write_rest
    from client.export._readme import int8_readme

    merged = is_mergeable(opened.bench)
    readme = int8_readme(opened)
    base = merged_base(opened) if merged else models.load_base(base_folder, architecture=opened.bench.task.architecture)
    write_base(base, folder)
    full = (folder / WEIGHTS).stat().st_size
    _shrink(base, folder / WEIGHTS)
    write_rest(folder, opened, base_folder, kind="int8", merged=merged, readme=readme)
    return full


def _shrink(base: object, file: Path) -> None:
    """Write the weights' file again, in 8 bits."""
    from safetensors.torch import load_file, save_file

    from client.int8_weights import quantisable, quantised_state

    weights = load_file(file)
    names = quantisable(base) & set(weights)
    if not names:
        raise UserError("the base model has no linear layer by a name that its file has; int8 is not for it")
    save_file(quantised_state(weights, names), file, metadata={"format": "pt"})


def _compared(order: Order, folder: Path, *, full: int, size: int) -> Iterator[str]:
    from client.export._measuring import labelled_rows, measure, table

    places = {"fp32": (order.place, "fp32", full), "bf16": (order.place, "bf16", full // 2)}
    found = {
        name: (open_model(place, private=order.private, precision=precision), bytes_)
        for name, (place, precision, bytes_) in places.items()
    }
    found["int8"] = (open_model(Place(folder, folder), precision="auto"), size)
    assert order.data is not None
    rows = labelled_rows(found["fp32"][0], order.data)
    metric = found["fp32"][0].bench.task.measure.infos[0].label
    yield from table(measure(found, rows, threads=order.threads), metric=metric, rows=len(rows.examples))
    yield f"int8 multiplies in {found['int8'][0].execution.precision}"


build = Int8
