"""Token classification: a tag for every word, such as the entities in a note (BIO tags), from its first word piece.

Input text and target's cell are split at spaces and must have equally many words and tags. The first piece of a word
bears its tag, as Devlin et al. 2019 (BERT, https://arxiv.org/abs/1810.04805), section 5.3, did; other pieces have no
part in the loss. Words beyond `task.max_length` are read as outside any entity, and count so against the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast  # tokenizers are untyped

import numpy as np

from common.metrics.entities import INFOS as INFOS
from common.metrics.entities import OUTSIDE, contributions, entity_measure, types_of
from common.metrics.measure import Labels
from common.metrics.sums import SumMeasure
from common.tasks import Architecture, Example, _snippets
from common.tasks._classes import check_labels
from common.tasks._losses import IGNORED, Loss
from common.tasks._text import in_full_precision, padded, text_batch, text_states
from common.usage import Usage

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

_NO_WORD = -1


@dataclass(frozen=True)
class Tagged:
    """One row: the tag of every word, and the piece that bears it (None for a word that was cut off)."""

    tags: tuple[int, ...]
    places: tuple[int | None, ...]


@dataclass(frozen=True)
class TokenClassification:
    """labels: the tags, `O` (outside) the first; `B-drug` and `I-drug`, or plain `drug` where no two touch."""

    labels: tuple[str, ...] = ()
    criterion: Loss = field(default_factory=Loss)
    architecture: ClassVar[Architecture] = "encoder"

    def __post_init__(self) -> None:
        """Check the labels."""
        check_labels(self.labels)
        self.criterion.check_classes(len(self.labels))
        if self.labels[0] != OUTSIDE:
            raise ValueError(f"the first of task.labels must be {OUTSIDE!r}, outside any entity")

    @property
    def types(self) -> tuple[str, ...]:
        """The types of entities."""
        return types_of(self.labels)

    @property
    def measure(self) -> SumMeasure:
        """Entities, found, named and real."""
        return entity_measure(self.types)

    @property
    def expected(self) -> str:
        """One tag for each word."""
        return f"expected one tag for each word, parted by spaces, each one of task.labels: {', '.join(self.labels)}"

    def read_label(self, text: str) -> tuple[int, ...] | None:
        """Return the tags' positions in `labels`; None where one is none."""
        known = {label: index for index, label in enumerate(self.labels)}
        found = [known.get(tag) for tag in text.split()]
        return None if not found or None in found else tuple(cast("list[int]", found))

    def misfit(self, text: str, label: object) -> str | None:
        """Say where a text has other words than there are tags."""
        words, tags = len(text.split()), len(cast("tuple[int, ...]", label))
        return None if words == tags else f"{tags} tags for a text of {words} words"

    def stack(self, labels: Sequence[object]) -> NDArray[np.object_]:
        """Return tuples of tags (n,)."""
        result = np.empty(len(labels), dtype=object)
        result[:] = labels
        return result

    def groups(self, labels: Labels) -> Mapping[str, NDArray[np.bool_]]:
        """Return the rows that have an entity of each type."""
        kinds = [set(types_of([self.labels[tag] for tag in row])) for row in labels]
        return {name: np.array([name in row for row in kinds], dtype=bool) for name in self.types}

    def open_reader(self, base_folder: Path) -> Any:
        """Return the tokenizer."""
        from common.models import load_tokenizer

        return load_tokenizer(base_folder)

    def build_head(self, *, hidden_size: int) -> nn.Module:
        """Return Linear(hidden_size, tags): `head.weight` (tags, hidden_size), `head.bias` (tags,)."""
        from torch import nn

        return nn.Linear(hidden_size, len(self.labels))

    def encode(self, reader: Any, inputs: Sequence[str], labels: Labels | None, *, max_length: int) -> list[Example]:
        """Tokenise word by word, cut at `max_length`."""
        words = [text.split() or [""] for text in inputs]
        tags = [(0,) * len(row) for row in words] if labels is None else list(labels)
        if not words:
            return []
        encoded = reader(words, is_split_into_words=True, truncation=True, max_length=max_length, padding=False)
        return [
            Example(tuple(ids), Tagged(tuple(row), _places(encoded.word_ids(number), len(row))))
            for number, (ids, row) in enumerate(zip(encoded["input_ids"], tags, strict=True))
        ]

    def collate(self, examples: Sequence[Example], *, pad_id: int) -> Mapping[str, Tensor]:
        """Return `input_ids`, `attention_mask`, `targets` (batch, longest), and `tags`, `places` (batch, most words).

        `places` has the piece of each word, -1 where it was cut off; both are -1 beyond a row's last word.
        """
        tagged = [cast("Tagged", example.target) for example in examples]
        return {
            **text_batch(examples, pad_id=pad_id),
            "targets": padded([_targets(e, t) for e, t in zip(examples, tagged, strict=True)], IGNORED),
            "tags": padded([t.tags for t in tagged], _NO_WORD),
            "places": padded([[_NO_WORD if p is None else p for p in t.places] for t in tagged], _NO_WORD),
        }

    def logits(self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Return (batch, longest, tags) in float32."""
        return in_full_precision(head, text_states(model, batch))

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean loss of the criterion over words; 0 for a batch without any."""
        return self.criterion.of(logits.flatten(0, 1), batch["targets"].flatten())

    def scores(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return each row's contributions (batch, width) to the measure, float64."""
        import torch

        named, tags = self._named(logits, batch), batch["tags"].cpu().tolist()
        losses = _row_losses(logits, batch).cpu().tolist()
        rows = [
            contributions([self.labels[tag] for tag in row if tag != _NO_WORD], guess, loss, self.types)
            for row, guess, loss in zip(tags, named, losses, strict=True)
        ]
        found = torch.tensor(rows, dtype=torch.float64)
        diverged = ~logits.isfinite().flatten(1).all(dim=1).cpu()
        found[diverged] = torch.nan
        return found

    def predict(
        self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor], reader: Any
    ) -> list[dict[str, object]]:
        """Return the tags of every word, parted by spaces."""
        del reader  # of use to tasks that write text
        return [{"prediction": " ".join(tags)} for tags in self._named(self.logits(model, head, batch), batch)]

    def _named(self, logits: Tensor, batch: Mapping[str, Tensor]) -> list[list[str]]:
        """Return the most probable tag of every word of every row."""
        best = logits.argmax(dim=-1).cpu().tolist()
        tags, places = batch["tags"].cpu().tolist(), batch["places"].cpu().tolist()
        return [
            [
                OUTSIDE if place == _NO_WORD else self.labels[row[place]]
                for tag, place in zip(of_words, at, strict=True)
                if tag != _NO_WORD
            ]
            for row, of_words, at in zip(best, tags, places, strict=True)
        ]


def _places(word_ids: Sequence[int | None], words: int) -> tuple[int | None, ...]:
    """Return the first piece of each word.

    >>> _places([None, 0, 0, 2, None], 4)
    (1, None, 3, None)
    """
    first: dict[int, int] = {}
    for piece, word in enumerate(word_ids):
        if word is not None:
            first.setdefault(word, piece)
    return tuple(first.get(word) for word in range(words))


def _targets(example: Example, tagged: Tagged) -> list[int]:
    targets = [IGNORED] * len(example.input_ids)
    for tag, place in zip(tagged.tags, tagged.places, strict=True):
        if place is not None:
            targets[place] = tag
    return targets


def _row_losses(logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the mean cross-entropy of each row's words, 0 where it has none, in float64."""
    from torch.nn import functional

    targets = batch["targets"]
    each = functional.cross_entropy(logits.double().transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
    return each.sum(dim=1) / (targets != IGNORED).sum(dim=1).clamp(min=1)


TAGGING = """\
words = [text.split() for text in texts]
batch = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length, padding=True,
                  return_tensors="pt")
inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
with torch.no_grad():
    hidden = model(**inputs).last_hidden_state
    best = head(hidden[:, -inputs["input_ids"].shape[1] :].float()).argmax(dim=-1).tolist()
predictions = []
for number, row in enumerate(words):
    pieces = batch.word_ids(number)
    first = {word: place for place, word in reversed(list(enumerate(pieces))) if word is not None}
    tags = [labels[best[number][first[word]]] if word in first else labels[0] for word in range(len(row))]
    predictions.append(" ".join(tags))
print(predictions)"""
SNIPPET = _snippets.LOADING + _snippets.LABELS + _snippets.WEIGHTS + TAGGING

build = TokenClassification
usage = Usage(pooling="the first piece of each word", pipeline_tag="token-classification", snippet=SNIPPET)
