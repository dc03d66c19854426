"""What a first study says of its target, for each kind of task: its labels, or what its numbers are like.

All is guessed from the rows at hand and written out, so that the user corrects a file and not a guess.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from statistics import median, pstdev

from common.data_schema import canonical
from common.errors import DataError
from common.rendering import is_missing, number_of

MAX_LABELS = 20
SEPARATOR = ";"
OUTSIDE = "O"


def options_of(kind: str, values: Sequence[str], target: str) -> str:
    """Return the lines of `[task]` that a kind of task needs beside `kind` and `target`.

    Raises:
        DataError: there is no such kind here, or the values are no targets of it.
    """
    if kind not in KINDS:
        raise DataError(f"--task {kind!r} is not known here; expected one of {', '.join(KINDS)}")
    return KINDS[kind](values, target)


def labels_of(values: Iterable[str], target: str) -> list[str]:
    """Return the distinct labels in order: numbers by size, words by alphabet.

    >>> labels_of(["yes", "no", "yes"], "outcome"), labels_of(["10", "2.0", "2"], "grade")
    (['no', 'yes'], ['2', '10'])
    """
    found = sorted({canonical(value) for value in values if not is_missing(value)}, key=by_size)
    if len(found) < 2:
        raise DataError(f"target {target!r} has {len(found)} label in these rows; a task needs at least 2")
    if len(found) > MAX_LABELS:
        raise DataError(
            f"target {target!r} has {len(found)} values, expected at most {MAX_LABELS} labels; group them, or say "
            "what they are: --task regression (numbers), multi-label-classification, token-classification, causal-lm"
        )
    return found


def by_size(label: str) -> tuple[float, str]:
    """Return a key that sorts numbers by size, then words by alphabet."""
    number = number_of(label)
    return (float("inf") if number is None else number, label)


def listed(texts: Iterable[str]) -> str:
    """Return a TOML list of strings."""
    return f"[{', '.join(map(quoted, texts))}]"


def quoted(text: str) -> str:
    """A JSON string is a TOML basic string but for DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _of_classes(values: Sequence[str], target: str) -> str:
    return f"labels = {listed(labels_of(values, target))}"


def _of_several(values: Sequence[str], target: str) -> str:
    parts = [part.strip() for value in values for part in value.split(SEPARATOR)]
    return f"labels = {listed(labels_of(parts, target))}\nseparator = {quoted(SEPARATOR)}"


def _of_tags(values: Sequence[str], target: str) -> str:
    found = labels_of([tag for value in values for tag in value.split()], target)
    if OUTSIDE not in found:
        raise DataError(
            f"target {target!r}: no word of these rows has the tag {OUTSIDE!r}; expected one tag for each word, parted "
            f"by spaces, and {OUTSIDE!r} where a word is in no entity"
        )
    return f"labels = {listed([OUTSIDE, *(tag for tag in found if tag != OUTSIDE)])}"


def _of_numbers(values: Sequence[str], target: str) -> str:
    found = [number_of(value) for value in values if not is_missing(value)]
    numbers = [number for number in found if number is not None]
    if len(numbers) < len(found) or len(set(numbers)) < 2:
        raise DataError(
            f"target {target!r} has {len(found) - len(numbers)} values that are no numbers, and {len(set(numbers))} "
            "different numbers; --task regression needs numbers only, and at least 2"
        )
    return (
        "# A typical target, and how far targets lie from it: guessed from these rows. All sites read it.\n"
        f"offset = {float(f'{median(numbers):.2g}')!r}\nscale = {float(f'{pstdev(numbers):.1g}')!r}"
    )


def _of_text(values: Sequence[str], target: str) -> str:
    del values, target
    return 'separator = "\\n"  # between the row\'s text and what the model learns to write'


KINDS: dict[str, Callable[[Sequence[str], str], str]] = {
    "sequence-classification": _of_classes,
    "image-classification": _of_classes,
    "multi-label-classification": _of_several,
    "regression": _of_numbers,
    "token-classification": _of_tags,
    "causal-lm": _of_text,
}
