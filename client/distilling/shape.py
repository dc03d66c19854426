"""How large a student may be: the shape of a BERT of at most so many parameters, wide before it is deep.

At the teacher's width the student can begin with the teacher's own layers (Sanh et al. 2019,
https://arxiv.org/abs/1910.01108, section 3), which a narrower one cannot; so width is given up last.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from common.errors import UserError


@dataclass(frozen=True)
class Shape:
    """A BERT without pooler: `hidden` units in `heads` heads, `layers` of them, and rows of the three embeddings."""

    vocabulary: int
    positions: int
    types: int
    hidden: int
    layers: int
    heads: int
    intermediate: int

    @property
    def parameters(self) -> int:
        """How many numbers it has.

        >>> Shape(30522, 512, 2, hidden=384, layers=6, heads=12, intermediate=1536).parameters
        22565376
        """
        return self.of_embeddings + self.layers * self.of_layer

    @property
    def of_embeddings(self) -> int:
        """Words, positions and types, and the LayerNorm behind them."""
        return (self.vocabulary + self.positions + self.types + 2) * self.hidden

    @property
    def of_layer(self) -> int:
        """Four projections of the attention, two of the feed-forward part, two LayerNorms."""
        hidden, inner = self.hidden, self.intermediate
        return 4 * (hidden * hidden + hidden) + 2 * hidden * inner + inner + hidden + 4 * hidden


def fit(teacher: Shape, *, vocabulary: int, positions: int, budget: int) -> Shape:
    """Return the student's shape, of at most `budget` parameters.

    At the teacher's width it has as many layers as fit with a feed-forward part no narrower than the layer; where not
    one does, it is the widest with two layers, or with one. Raises UserError where none fits.
    """
    plain = replace(teacher, vocabulary=vocabulary, positions=positions)
    for least, widths in ((1, [teacher.hidden]), (2, _widths(teacher)), (1, _widths(teacher))):
        for hidden in widths:
            found = _deepest(_narrowed(plain, hidden), budget)
            if found is not None and found.layers >= min(least, teacher.layers):
                return found
    raise UserError(
        f"a student of {budget:,} parameters has no room for {vocabulary:,} tokens and one layer; give a larger "
        "--parameters"
    )


def _widths(teacher: Shape) -> Iterator[int]:
    """Whole heads of the teacher's, from all to one; then one smaller head."""
    size = teacher.hidden // teacher.heads
    yield from (size * heads for heads in range(teacher.heads, 0, -1))
    yield from (smaller for smaller in (size // 2, size // 4) if smaller)


def _narrowed(teacher: Shape, hidden: int) -> Shape:
    size = teacher.hidden // teacher.heads
    return replace(teacher, hidden=hidden, heads=max(1, hidden // size))


def _deepest(shape: Shape, budget: int) -> Shape | None:
    """Return it with as many layers as fit, and with the feed-forward part that is then affordable."""
    for layers in range(shape.layers, 0, -1):
        bare = replace(shape, layers=layers, intermediate=0)
        inner = ((budget - bare.parameters) // layers) // (2 * shape.hidden + 1)
        if inner >= shape.hidden:
            return replace(bare, intermediate=min(inner, shape.intermediate))
    return None
