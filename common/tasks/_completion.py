"""Decoders: prompts and completions as token ids, how probable completions are, and writing them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any  # tokenizers and transformers' models are untyped

from common.errors import ModelError
from common.tasks._precision import widened

if TYPE_CHECKING:
    from torch import Tensor, nn

Ids = tuple[int, ...]
IGNORED = -100
"""The target at positions that are no token of a completion."""
CHUNK_TOKENS = 1024
"""Tokens whose probabilities over the vocabulary are made at once."""
UNLIMITED = 10**9


def check_ends(tokenizer: Any) -> None:
    """Raise ModelError where the tokenizer has no token to end a text with: a completion would never end."""
    if tokenizer.eos_token_id is None:
        raise ModelError(
            "the base model's tokenizer has no end-of-text token (eos_token), which ends every completion; expected "
            "one in its tokenizer_config.json: choose a base model that has it"
        )


def plain_ids(tokenizer: Any, texts: Sequence[str]) -> list[Ids]:
    """Tokenise without special tokens."""
    if not texts:
        return []
    return [tuple(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]


def start_ids(tokenizer: Any) -> Ids:
    """Return the token that the tokenizer puts in front of a text, if it does so."""
    ids = tokenizer("")["input_ids"]
    return tuple(ids[:1]) if ids and ids[0] == tokenizer.bos_token_id else ()


def joined(start: Ids, prompt: Ids, completion: Ids, *, max_length: int, end: int) -> tuple[Ids, int]:
    """Return at most `max_length` ids, and how many of them are the completion's.

    The prompt loses its beginning, not `start`, and the completion its end only where no prompt is left to give up.
    Something stands before the completion in any case: its first token is predicted too.

    >>> joined((1,), (4, 5, 6), (7, 2), max_length=4, end=2), joined((), (), (7, 2), max_length=4, end=2)
    (((1, 6, 7, 2), 2), ((2, 7, 2), 2))
    """
    before = start if start or prompt else (end,)
    kept = completion[: max_length - max(len(before), 1)]
    room = max_length - len(before) - len(kept)
    return (*before, *prompt[max(len(prompt) - room, 0) :], *kept), len(kept)


def token_scores(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Return (batch, longest, 2) in float32 for each token of a completion, 0 elsewhere.

    First its log-probability given all tokens before it, then 1 if no other is likelier, else 0.
    """
    import torch
    from torch.nn import functional

    targets = batch["targets"]
    wanted = targets != IGNORED
    logits, true = completion_logits(model, batch, functional.pad(wanted[:, 1:], (0, 1))), targets[wanted]
    parts = [slice(first, first + CHUNK_TOKENS) for first in range(0, max(len(true), 1), CHUNK_TOKENS)]
    result = torch.zeros(*targets.shape, 2, dtype=logits.dtype, device=targets.device)
    result[wanted] = torch.cat([_scored(logits[part], true[part]) for part in parts])
    return result


def _scored(logits: Tensor, true: Tensor) -> Tensor:
    """Return (tokens, 2) of logits (tokens, vocabulary): see `token_scores`."""
    import torch
    from torch.nn import functional

    likelihood = -functional.cross_entropy(logits, true, reduction="none")
    return torch.stack((likelihood, (logits.argmax(dim=-1) == true).to(likelihood.dtype)), dim=-1)


def completion_logits(model: Any, batch: Mapping[str, Tensor], places: Tensor) -> Tensor:
    """Return (places, vocabulary) in float32: the logits at those places (batch, longest) that are true, row by row.

    Nothing of size batch x length x vocabulary is made: the output layer sees the chosen hidden states alone.
    """
    mask = batch["attention_mask"]
    with _output_layer_at(model.get_output_embeddings(), places):
        found: Tensor = model(input_ids=batch["input_ids"], attention_mask=mask, use_cache=False).logits
    return widened(found)


@contextmanager
def _output_layer_at(layer: Any, places: Tensor) -> Iterator[None]:
    """Have `layer` work on these places only, in float32; virtual tokens come before the first of them."""
    import torch

    inner: Callable[[Tensor], Tensor] = layer.forward

    def forward(hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return inner(widened(hidden[:, hidden.shape[1] - places.shape[1] :][places]))

    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward


def write_greedily(model: Any, batch: Mapping[str, Tensor], tokenizer: Any, *, max_new_tokens: int) -> list[str]:
    """Return what the model writes after each prompt: at each step the likeliest token, until it ends the text.

    Where the model has no room for prompt and completion, the prompt loses its beginning; writing gets at most half of
    the room.
    """
    end, virtual = tokenizer.eos_token_id, _virtual_tokens(model)
    room = int(getattr(model.config, "max_position_embeddings", UNLIMITED)) - virtual
    new = min(max_new_tokens, room // 2)
    prompts = _prompts(batch, start_ids(tokenizer), most=room - new, end=end)
    written: dict[int, Ids] = {}
    for rows in _alike(prompts) if virtual else [list(range(len(prompts)))]:
        ids, mask = (found.to(batch["input_ids"].device) for found in _padded_left([prompts[r] for r in rows], end))
        written |= zip(rows, _continued(model, ids, mask, end=end, new=new), strict=True)
    return [str(tokenizer.decode(written[row], skip_special_tokens=True)).strip() for row in range(len(prompts))]


def _continued(model: Any, ids: Tensor, mask: Tensor, *, end: int, new: int) -> list[Ids]:
    """Return the ids that the model adds to each row; those from `end` on are special tokens."""
    with warnings.catch_warnings():
        # peft has no use for the positions that transformers gives; without padding they are its own.
        warnings.filterwarnings("ignore", message="Position ids are not supported", category=UserWarning)
        found = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=new,
            eos_token_id=end,
            pad_token_id=end,
        )
    return [tuple(row) for row in found[:, ids.shape[1] :].tolist()]


def _virtual_tokens(model: Any) -> int:
    return getattr(getattr(model, "active_peft_config", None), "num_virtual_tokens", None) or 0


def _alike(prompts: Sequence[Ids]) -> list[list[int]]:
    """Return the rows of each length: padding between virtual tokens and a text would move them apart.

    >>> _alike([(1, 2), (1,), (3, 4)])
    [[1], [0, 2]]
    """
    lengths = sorted({len(prompt) for prompt in prompts})
    return [[row for row, prompt in enumerate(prompts) if len(prompt) == length] for length in lengths]


def _prompts(batch: Mapping[str, Tensor], start: Ids, *, most: int, end: int) -> list[Ids]:
    """Return the ids of each row, the beginning of long ones cut off behind the start."""
    rows = zip(batch["input_ids"].tolist(), batch["attention_mask"].sum(dim=1).tolist(), strict=True)
    given = [tuple(ids[len(start) : length]) for ids, length in rows]
    return [joined(start, prompt, (), max_length=most, end=end)[0] for prompt in given]


def _padded_left(rows: Sequence[Ids], fill: int) -> tuple[Tensor, Tensor]:
    """Return ids and mask (rows, longest), int64: the next token then follows every row's last."""
    import torch

    longest = max(map(len, rows))
    ids = torch.tensor([[*[fill] * (longest - len(row)), *row] for row in rows], dtype=torch.int64)
    mask = torch.tensor([[*[0] * (longest - len(row)), *[1] * len(row)] for row in rows], dtype=torch.int64)
    return ids, mask
