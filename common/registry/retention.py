"""Which versions keep their files."""

from collections.abc import Collection, Iterable


def to_prune(whole: Iterable[int], *, keep: int, protected: Collection[int]) -> list[int]:
    """Return which of the versions that still have their files give them up: all but the newest, and the protected.

    >>> to_prune([1, 2, 3, 4, 5], keep=2, protected={1})
    [2, 3]
    """
    numbers = sorted(whole)
    newest = set(numbers[max(0, len(numbers) - keep) :])
    return [number for number in numbers if number not in newest and number not in protected]
