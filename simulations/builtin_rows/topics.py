"""Notes of made-up words about one of twelve topics each, without sites: for comparing strategies over many labels."""

from itertools import product
from pathlib import Path

import numpy as np

from common.seeds import generator
from simulations.builtin_rows._tables import write_table

SEED = 5
TOPICS = tuple(f"t{number:02d}" for number in range(12))
WORDS_PER_TOPIC, COMMON = 10, 40
NOTES_PER_TOPIC = 150
LENGTH = 8
ON_TOPIC, OFF_TOPIC = 0.45, 0.15
"""Share of a note's words that are of its topic, and of any topic; the rest are common ones."""


def words() -> list[str]:
    """Return the vocabulary, words of two made-up syllables: the topics' words in order, then the common ones."""
    syllables = ["".join(pair) for pair in product("bdfgklmnprst", "aeiou")]
    every = [first + second for first, second in product(syllables, syllables)]
    order = generator(SEED, purpose="topics words").permutation(len(every))
    return [every[place] for place in order[: len(TOPICS) * WORDS_PER_TOPIC + COMMON]]


def topic_of(word: int) -> int | None:
    """Return the topic of the word at this place of the vocabulary, None for a common one.

    >>> topic_of(25), topic_of(130)
    (2, None)
    """
    return word // WORDS_PER_TOPIC if word < len(TOPICS) * WORDS_PER_TOPIC else None


def rows() -> list[dict[str, str]]:
    """Return the generated rows: patient, note, topic. Every row is a patient."""
    known, rng = words(), generator(SEED, purpose="topics rows")
    labels = [topic for topic in range(len(TOPICS)) for _ in range(NOTES_PER_TOPIC)]
    return [
        {
            "patient": f"p{number:04d}",
            "note": " ".join(known[word] for word in _note(topic, rng)),
            "topic": TOPICS[topic],
        }
        for number, topic in enumerate(labels)
    ]


def _note(topic: int, rng: np.random.Generator) -> list[int]:
    kinds = rng.choice(3, size=LENGTH, p=[ON_TOPIC, OFF_TOPIC, 1 - ON_TOPIC - OFF_TOPIC])
    of_topics = len(TOPICS) * WORDS_PER_TOPIC
    drawn = np.where(
        kinds == 0,
        topic * WORDS_PER_TOPIC + rng.integers(WORDS_PER_TOPIC, size=LENGTH),
        np.where(kinds == 1, rng.integers(of_topics, size=LENGTH), of_topics + rng.integers(COMMON, size=LENGTH)),
    )
    return [int(word) for word in drawn]


def write(folder: Path) -> Path:
    """Write `rows()` as CSV."""
    return write_table(folder / "topics.csv", rows())
