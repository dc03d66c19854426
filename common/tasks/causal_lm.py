"""Causal language modelling: a decoder learns to write each row's target, the completion, after its input, the prompt.

Supervised fine-tuning: the loss is the mean cross-entropy over the tokens of completions, each of which ends in the
tokenizer's end-of-text token; prompts are read, and nothing is learned from them. Where `task.max_length` is short the
prompt loses its beginning, so that the completion stays. Prompt and completion are tokenised apart, which is what
`fedpeft predict` continues from. There is no head of fedpeft's: the base model's own output layer says the tokens.

Decoders memorise (Carlini et al. 2021, https://arxiv.org/abs/2012.07805): see `usage`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar  # tokenizers are untyped

import numpy as np
from pydantic import Field

from common.metrics.completions import INFOS as INFOS
from common.metrics.completions import MEASURE
from common.metrics.measure import Labels
from common.metrics.sums import SumMeasure
from common.rendering import is_missing
from common.tasks import Architecture, Example
from common.tasks._completion import IGNORED, check_ends, joined, plain_ids, start_ids, token_scores, write_greedily
from common.tasks._text import padded, text_batch
from common.usage import Usage

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn


@dataclass(frozen=True)
class CausalLm:
    """separator: between input and completion. max_new_tokens: the most that `fedpeft predict` writes for a row."""

    separator: str = "\n"
    max_new_tokens: Annotated[int, Field(ge=1, le=8192)] = 32
    architecture: ClassVar[Architecture] = "causal-lm"

    @property
    def measure(self) -> SumMeasure:
        """Probabilities of completions."""
        return MEASURE

    @property
    def expected(self) -> str:
        """Any text."""
        return "expected a text to be written"

    def read_label(self, text: str) -> str | None:
        """Return the completion."""
        return None if is_missing(text) else text.strip()

    def stack(self, labels: Sequence[object]) -> NDArray[np.object_]:
        """Return texts (n,)."""
        result = np.empty(len(labels), dtype=object)
        result[:] = labels
        return result

    def groups(self, labels: Labels) -> Mapping[str, NDArray[np.bool_]]:  # noqa: ARG002 # the seam's argument
        """Tell no rows apart."""
        return {}

    def open_reader(self, base_folder: Path) -> Any:
        """Return the tokenizer."""
        from common.models import load_tokenizer

        tokenizer = load_tokenizer(base_folder)
        check_ends(tokenizer)
        return tokenizer

    def build_head(self, *, hidden_size: int) -> nn.Module:  # noqa: ARG002 # the seam's argument
        """Return a module without tensors: the base model has its own output layer."""
        from torch import nn

        return nn.Identity()

    def encode(self, reader: Any, inputs: Sequence[str], labels: Labels | None, *, max_length: int) -> list[Example]:
        """Return ids of prompt and completion, at most `max_length`; the target is the completion's number of ids."""
        start, end = start_ids(reader), reader.eos_token_id
        prompts = plain_ids(reader, [text + self.separator for text in inputs])
        texts = () if labels is None else [str(label) for label in labels]
        completions = [(*ids, end) for ids in plain_ids(reader, texts)] or [()] * len(inputs)
        pairs = zip(prompts, completions, strict=True)
        return [Example(*joined(start, p, c, max_length=max_length, end=end)) for p, c in pairs]

    def collate(self, examples: Sequence[Example], *, pad_id: int) -> Mapping[str, Tensor]:
        """Return `input_ids`, `attention_mask`, `targets` (batch, longest), int64; prompts have no targets."""
        rows = [(e.input_ids, len(e.input_ids) - int(e.target)) for e in examples]
        targets = [[*[IGNORED] * prompt, *ids[prompt:]] for ids, prompt in rows]
        return {**text_batch(examples, pad_id=pad_id), "targets": padded(targets, IGNORED)}

    def logits(self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002 # no head
        """Return (batch, longest, 2) in float32: of each token its log-probability, and whether none is likelier."""
        return token_scores(model, batch)

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean negative log-likelihood over the completions' tokens."""
        return -logits[..., 0].sum() / (batch["targets"] != IGNORED).sum().clamp(min=1)

    def scores(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return each row's contributions (batch, 6) to the measure, float64."""
        import torch

        tokens = (batch["targets"] != IGNORED).sum(dim=1).double()
        likelihood, right = logits.double().sum(dim=1).unbind(dim=-1)
        loss = -likelihood / tokens.clamp(min=1)
        return torch.stack((torch.ones_like(tokens), tokens, -likelihood, right, (right == tokens).double(), loss), -1)

    def predict(
        self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor], reader: Any
    ) -> list[dict[str, object]]:
        """Return what the model writes after each prompt, greedily."""
        del head
        texts = write_greedily(model, batch, reader, max_new_tokens=self.max_new_tokens)
        return [{"prediction": text} for text in texts]


SNIPPET = """\
import json

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

BASE_MODEL = "path/to/base-model"
ADAPTER = "path/to/this-folder"
texts = ["a row written by the template", "another one"]

tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL)
base = AutoModelForCausalLM.from_pretrained(BASE_MODEL)
base.generation_config = GenerationConfig()
model = PeftModel.from_pretrained(base, ADAPTER).eval()
with open(f"{ADAPTER}/task.json", encoding="utf-8") as file:
    options = json.load(file)["options"]
separator, most = options.get("separator", "\\n"), options.get("max_new_tokens", 32)
end = tokenizer.eos_token_id
start = [i for i in tokenizer("")["input_ids"][:1] if i == tokenizer.bos_token_id]
completions = []
for text in texts:
    prompt = tokenizer(text + separator, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([start + prompt[-($max_length - len(start)):]])
    with torch.no_grad():
        found = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                               max_new_tokens=most, eos_token_id=end, pad_token_id=end)
    completions.append(tokenizer.decode(found[0, ids.shape[1]:], skip_special_tokens=True).strip())
print(completions)"""

WARNING = """\
**The adapter of a decoder may have memorised what it was trained on.** Decoders repeat training text, rare words most \
of all, to whoever prompts them for it: names, numbers, whole sentences. Before it leaves the hospitals that trained \
it, treat it as if it held their texts: train on de-identified text only, prompt it for what must not come out, and \
have its release decided by those who decide on releasing the texts."""

build = CausalLm
usage = Usage(pooling="none", pipeline_tag="text-generation", snippet=SNIPPET, warning=WARNING)
