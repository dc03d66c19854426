"""Prompt tuning: `virtual_tokens` trained embeddings in front of the text's own.

The model reads [p; embed(text)], with p (virtual_tokens, hidden) trained. Lester et al. 2021,
https://arxiv.org/abs/2104.08691. On MiniLM: 0.03 %. The embeddings are what is trained, position by position, so
their mean is exact: `aggregates_linearly` is True.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast  # peft's configuration is JSON

from pydantic import Field

from common.errors import StudyError
from common.peft_methods import _peft

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Prompt:
    """Options: virtual_tokens >= 1; start_from; text, whose words p starts from, cut or repeated.

    start_from: `vocabulary` draws words of the vocabulary, `random` a standard normal, `text` takes those of `text`.
    """

    virtual_tokens: Annotated[int, Field(ge=1)] = 20
    start_from: Literal["vocabulary", "random", "text"] = "vocabulary"
    text: str | None = None

    def __post_init__(self) -> None:
        if (self.start_from == "text") != bool(self.text):
            raise ValueError("start_from = 'text' and a text belong together; give both or neither")

    @property
    def aggregates_linearly(self) -> bool:
        """The embeddings themselves are averaged."""
        return True

    @property
    def wraps(self) -> bool:
        """The peft library wraps the base model."""
        return True

    def attach(self, base: nn.Module) -> nn.Module:
        """Put the embeddings in front of every text."""
        from peft import PromptTuningConfig, PromptTuningInit

        _peft.check_reads_text(base, "prompt")
        # Nor a tokenizer's path nor the text is in peft's configuration: `start` knows both.
        kind = PromptTuningInit.SAMPLE_VOCAB if self.start_from == "vocabulary" else PromptTuningInit.RANDOM
        config = PromptTuningConfig(num_virtual_tokens=self.virtual_tokens, prompt_tuning_init=kind)
        return _peft.attach(base, config)

    def start(self, model: nn.Module, tokenizer: Any) -> None:
        """Set the embeddings to those of the words of `text`, if there is one, without special tokens."""
        import torch

        if self.text is None:
            return
        words = tokenizer(self.text, add_special_tokens=False)["input_ids"]
        if not words:
            raise StudyError(f"peft.text = {self.text!r} has no words that the base model's tokenizer knows")
        ids = torch.tensor([words[i % len(words)] for i in range(self.virtual_tokens)])
        prompt = _peft.trainable(model)["prompt_encoder.embedding.weight"]
        embed = cast("nn.Embedding", cast("Any", _peft.detach(model)).get_input_embeddings())
        with torch.no_grad():
            prompt.copy_(embed.weight[ids.to(embed.weight.device)])

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the embeddings, (virtual_tokens, hidden)."""
        return _peft.trainable(model)

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model, which the embeddings never changed."""
        return _peft.detach(model)

    def adapter_config(self, model: nn.Module) -> Mapping[str, Any]:
        """Return peft's configuration."""
        return _peft.config_json(model)

    def peft_names(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return peft's name of the embeddings."""
        return dict.fromkeys(names, "prompt_embeddings")


build = Prompt
