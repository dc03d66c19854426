"""A plain transformers model with the adapter merged into its weights, and the task's head beside it.

W <- W0 + the method's change, in float32, plus what is carried beside it. Loaded again, it must give the adapter's own
outputs on made-up rows to within `TOLERANCE`, or nothing is left.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from client.export import Order
from client.opening import Place, open_model
from common.errors import UserError

TOLERANCE = 1e-4
"""Of max(1, |output|) before softmax or sigmoid: sums in another order differ by some 1e-6."""


@dataclass(frozen=True)
class Merged:
    """The format; it has no options."""

    def write(self, order: Order, folder: Path) -> Iterator[str]:
        """Write the model, load it again and compare. Raises UserError."""
        from client.export._merging import merged_base, write_base, write_rest
        from client.export._probe import largest_difference, outputs, probes
        from client.export._readme import merged_readme

        opened = open_model(order.place, private=order.private, precision="fp32")
        examples = probes(opened.bench)
        wanted, readme = outputs(opened.bench, examples), merged_readme(opened)
        write_base(merged_base(opened), folder)
        write_rest(folder, opened, order.place.base, kind="merged", merged=True, readme=readme)
        found = outputs(open_model(Place(folder, folder), precision="fp32").bench, examples)
        difference = largest_difference(wanted, found)
        if not difference <= TOLERANCE:
            raise UserError(
                f"the merged model differs from the adapter by {difference:.1e} of an output, expected at most "
                f"{TOLERANCE:.0e}; nothing was written: use the adapter as it is"
            )
        yield f"loaded again, its outputs are the adapter's to within {difference:.1e} (at most {TOLERANCE:.0e})"


build = Merged
