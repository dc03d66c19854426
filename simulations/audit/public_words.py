"""What the study itself says of its rows' texts: its template, phrases, and the words of its numbers and categories.

Whoever has the study has them; to find them in an update is to find nothing.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from client.data.table import with_default_column
from common.data_schema import PLACEHOLDER, CategoryColumn, Column, NumberColumn
from common.study import Study
from common.workbench import Workbench


def public_tokens(study: Study, bench: Workbench) -> NDArray[np.int64]:
    """Return the ids of tokens that are in the study's own words, at the beginning of a text or within it."""
    texts = sorted({text for phrase in public_words(study) for word in phrase.split() for text in (word, f" {word}")})
    ids = bench.reader(texts, add_special_tokens=False)["input_ids"] if texts else []
    return np.array(sorted({token for row in ids for token in row}), dtype=np.int64)


def public_words(study: Study) -> Iterator[str]:
    """Yield every phrase that rows may share because the study says it."""
    section = with_default_column(study.data)
    yield PLACEHOLDER.sub(" ", section.template or "")
    yield str(study.task.arguments.get("separator", ""))
    for name, column in section.columns.items():
        yield PLACEHOLDER.sub(lambda found, name=name: name if found[1] == "name" else " ", column.phrase)  # type: ignore[misc] # mypy cannot type the default
        yield from _values(column)


def _values(column: Column) -> Iterator[str]:
    if isinstance(column, NumberColumn):
        yield from column.words
    if isinstance(column, CategoryColumn):
        yield from column.mapping.values()
