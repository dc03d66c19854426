"""The student's tokenizer: the teacher's WordPiece with the pieces only that the training rows need.

WordPiece takes the longest piece that fits, so rows whose pieces are all kept are cut as the teacher cuts them. Single
ASCII characters are kept too: words and numbers that the training rows lack are spelled, and what cannot be is [UNK].
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any  # tokenizers are untyped, and their files are JSON

from common.errors import UserError
from common.files import write_json


def kept_ids(tokenizer: Any, texts: Iterable[Sequence[int]]) -> list[int]:
    """Return the teacher's ids that the student keeps, ascending: special ones, characters, those in `texts`.

    Raises:
        UserError: the tokenizer is not WordPiece.
    """
    model = _content(tokenizer)["model"]
    if model.get("type") != "WordPiece":
        raise UserError(
            f"distilling keeps part of a WordPiece vocabulary, and this base model's tokenizer is {model.get('type')}; "
            "choose a BERT with WordPiece as the study's base model"
        )
    prefix = model.get("continuing_subword_prefix", "##")
    characters = {id for token, id in model["vocab"].items() if _is_character(token, prefix)}
    used = {id for ids in texts for id in ids}
    return sorted({*tokenizer.all_special_ids, *characters, *used})


def _is_character(token: str, prefix: str) -> bool:
    rest = token.removeprefix(prefix)
    return len(rest) == 1 and rest.isascii() and rest.isprintable()


def write_tokenizer(tokenizer: Any, kept: Sequence[int], folder: Path, *, max_length: int) -> dict[int, int]:
    """Write a tokenizer with these of the teacher's ids, and return the new id of each."""
    ids = {old: new for new, old in enumerate(kept)}
    content = _content(tokenizer)
    vocabulary = content["model"]["vocab"]
    special = {token["content"]: ids[token["id"]] for token in content["added_tokens"] if token["id"] in ids}
    content["model"]["vocab"] = {token: ids[old] for token, old in vocabulary.items() if old in ids}
    content["added_tokens"] = [{**t, "id": ids[t["id"]]} for t in content["added_tokens"] if t["id"] in ids]
    content["post_processor"] = _renumbered(content["post_processor"], special)
    write_json(folder / "tokenizer.json", {**content, "truncation": None, "padding": None})
    names = {f"{role}_token": getattr(tokenizer, f"{role}_token") for role in ("pad", "unk", "cls", "sep", "mask")}
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_length}
    write_json(folder / "tokenizer_config.json", {**about, **{k: v for k, v in names.items() if v is not None}})
    return ids


def _content(tokenizer: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return found


def _renumbered(processor: Any, special: Mapping[str, int]) -> Any:
    """Replace the ids of special tokens, which both kinds of BERT's post-processor hold beside their names."""
    if processor is None:
        return None
    if "special_tokens" in processor:
        tokens = {
            name: {**of, "ids": [special[t] for t in of["tokens"]]} for name, of in processor["special_tokens"].items()
        }
        return {**processor, "special_tokens": tokens}
    pairs = {role: [processor[role][0], special[processor[role][0]]] for role in ("sep", "cls") if role in processor}
    return {**processor, **pairs}
