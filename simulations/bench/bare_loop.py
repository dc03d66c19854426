"""The floor: the same rows, batches, precision and attention in a bare PyTorch loop that knows nothing of federations.

Written without any of fedpeft's training code: what it takes is what this machine must do at least.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # transformers' and peft's classes are untyped

from client.batches import scoring_batches, training_batches
from client.data import Rows
from client.execution import Execution
from client.recipe import recipe_of
from client.site_rows import SiteRows, SplitRows, split_of
from common.seeds import generator
from common.study import Study
from common.tasks import Example

PAD_ID = 0


@dataclass(frozen=True)
class Load:
    """What one round does: collated training batches by site, and collated validation batches, tensors all."""

    training: Sequence[Sequence[dict[str, Any]]]
    validation: Sequence[dict[str, Any]]


def tokenised(study: Study, sites: Mapping[str, Rows], base: Path) -> dict[str, SiteRows]:
    """Return the sites' rows split and tokenised, without opening a workbench."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)

    def encoded(rows: Rows) -> SplitRows:
        ids = tokenizer(list(rows.inputs), truncation=True, max_length=study.task.max_length)["input_ids"]
        examples = [Example(tuple(i), int(label)) for i, label in zip(ids, rows.labels, strict=True)]
        return SplitRows(examples, rows.labels, rows.patients)

    result = {}
    for site, rows in sites.items():
        parts = split_of(rows, study)
        result[site] = SiteRows(*(encoded(rows.take(i)) for i in (parts.train, parts.validation, parts.test)))
    return result


def load_of(study: Study, rows: Mapping[str, SiteRows], *, round_number: int) -> Load:
    """Return the batches that the sites train on in this round, and their validation rows in batches of 64."""
    recipe = recipe_of(study, round_number=round_number)
    training = []
    for site, parts in sorted(rows.items()):
        rng = generator(study.seed, round_number=round_number, site=site, purpose="batches")
        lengths = [e.length for e in parts.train.examples]
        batches = training_batches(lengths, batch_size=recipe.batch_size, epochs=recipe.epochs, steps=None, rng=rng)
        training.append([collate([parts.train.examples[i] for i in batch]) for batch in batches])
    validation = []
    for _, parts in sorted(rows.items()):
        lengths = [e.length for e in parts.validation.examples]
        for batch in scoring_batches(lengths, batch_size=64):
            validation.append(collate([parts.validation.examples[i] for i in batch]))
    return Load(training, validation)


def collate(examples: Sequence[Example]) -> dict[str, Any]:
    """Pad to the longest."""
    import torch

    longest = max(len(e.input_ids) for e in examples)
    ids = torch.full((len(examples), longest), PAD_ID)
    mask = torch.zeros((len(examples), longest), dtype=torch.int64)
    for row, example in enumerate(examples):
        ids[row, : len(example.input_ids)] = torch.tensor(example.input_ids)
        mask[row, : len(example.input_ids)] = 1
    return {"ids": ids, "mask": mask, "targets": torch.tensor([e.target for e in examples])}


class BareLoop:
    """MiniLM, peft's LoRA, a linear head and AdamW, as one would write them in a notebook."""

    def __init__(self, folder: str, study: Study, execution: Execution) -> None:
        import warnings

        import torch
        from peft import LoraConfig, TaskType, get_peft_model
        from transformers import AutoModel

        base = AutoModel.from_pretrained(folder, attn_implementation=execution.attention, add_pooling_layer=False)
        config = LoraConfig(
            task_type=TaskType.FEATURE_EXTRACTION, r=8, lora_alpha=16, target_modules=["query", "value"]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
            self._model = get_peft_model(base, config)
        self._head = torch.nn.Linear(base.config.hidden_size, len(study.task.labels))
        self._study, self._execution = study, execution

    @property
    def modules(self) -> tuple[Any, Any]:
        """The base model with its adapter, and the head."""
        return self._model, self._head

    def state(self) -> dict[str, Any]:
        """Return the adapter's tensors and the head's, as peft names them."""
        from peft import get_peft_model_state_dict

        return {
            **get_peft_model_state_dict(self._model),
            **{f"head.{n}": t for n, t in self._head.state_dict().items()},
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Put such tensors into the model."""
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(self._model, {n: t for n, t in state.items() if not n.startswith("head.")})
        self._head.load_state_dict({n.removeprefix("head."): t for n, t in state.items() if n.startswith("head.")})

    def round(self, load: Load) -> None:
        """Score the validation batches, then train each site's batches with a fresh optimizer."""
        import torch

        torch.set_num_threads(self._execution.threads)
        self._model.eval()
        with torch.inference_mode(), self._autocast():
            for batch in load.validation:
                self.logits(batch).softmax(-1)
        self._model.train()
        for batches in load.training:
            self._train(batches)

    def _train(self, batches: Sequence[dict[str, Any]]) -> None:
        import torch

        recipe = self._study.training
        trained = [p for p in self._model.parameters() if p.requires_grad] + list(self._head.parameters())
        optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
        for batch in batches:
            with self._autocast():
                logits = self.logits(batch)
            loss = torch.nn.functional.cross_entropy(logits.float(), batch["targets"])
            torch.autograd.backward(loss)
            if recipe.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(trained, recipe.clip_norm)
            optimizer.step()
            optimizer.zero_grad()

    def logits(self, batch: dict[str, Any]) -> Any:
        """Return (rows, labels) of a collated batch."""
        hidden = self._model(input_ids=batch["ids"], attention_mask=batch["mask"]).last_hidden_state.float()
        weights = batch["mask"].unsqueeze(-1).float()
        return self._head((hidden * weights).sum(1) / weights.sum(1))

    def _autocast(self) -> Any:
        import torch

        bf16 = self._execution.precision == "bf16"
        return torch.autocast("cpu", dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()
