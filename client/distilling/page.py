"""The student folder's README.md: what it is, what it is worth, how it is used, and why it stays."""

from string import Template

from client.distilling.outcome import Distilled
from common.metrics.types import Metric
from common.study import Study

STAYS = (
    "This student was trained on this site's own rows, which no guarantee hides, and its vocabulary lists words of "
    "them: it stays at the site, and is handed to nobody whom the rows would not be handed to."
)
USES = (
    "For research on the task below, on text written by the same template. Not a medical device: it was not tested "
    "prospectively, and must not decide or support the care of a patient."
)
LOADING = """\
import json

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

FOLDER = "path/to/this-folder"
texts = ["a row written by the template", "another one"]

tokenizer = AutoTokenizer.from_pretrained(FOLDER)
model = AutoModel.from_pretrained(FOLDER, add_pooling_layer=False).eval()
with open(f"{FOLDER}/task.json", encoding="utf-8") as file:
    task = json.load(file)
tensors = load_file(f"{FOLDER}/head.safetensors")
head = torch.nn.Linear(*reversed(tensors["head.weight"].shape))
head.load_state_dict({"weight": tensors["head.weight"], "bias": tensors["head.bias"]})

batch = tokenizer(texts, truncation=True, max_length=task["max_length"], padding=True, return_tensors="pt")
mask = batch["attention_mask"].unsqueeze(-1).float()
with torch.no_grad():
    hidden = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    outputs = head((hidden * mask).sum(dim=1) / mask.sum(dim=1))
"""
CLASSES = """\
for text, row in zip(texts, outputs.$activation.tolist()):
    print(text, dict(zip(task["labels"], row)))"""
NUMBER = """\
options = task["options"]
print((outputs.squeeze(-1).double() * options.get("scale", 1.0) + options.get("offset", 0.0)).tolist())"""
ENDS = {
    "sequence-classification": Template(CLASSES).substitute(activation="softmax(dim=-1)"),
    "multi-label-classification": Template(CLASSES).substitute(activation="sigmoid()"),
    "regression": NUMBER,
}


def render_page(study: Study, found: Distilled) -> str:
    """Return the README as Markdown."""
    code = LOADING + ENDS[study.task.kind.replace("_", "-")]
    parts = [
        f"# A student of {study.name}",
        f"**{STAYS}**",
        USES,
        f"It predicts `{study.task.target}` ({study.task.kind}), as the federated model that taught it does, and is "
        f"{found.shape}: {found.fraction:.1%} of the teacher's parameters.",
        table_of(found),
        _rows(found),
        "Score a file whose columns are those of the study:",
        "```console\nfedpeft predict --adapter path/to/this-folder --data rows.csv --out predictions.csv\n```",
        "Without fedpeft, on text that was written by the study's template:",
        f"```python\n{code}\n```",
        "The study's template is in `adapter/fedpeft.json`, all numbers in `distill.json`.",
    ]
    return "\n\n".join(parts) + "\n"


def table_of(found: Distilled) -> str:
    """Return both models side by side, as a Markdown table."""
    both = (found.teacher, found.student)
    rows = [
        ("parameters", *(f"{model.parameters:,}" for model in both)),
        ("bytes on disk", *(f"{model.size_bytes:,}" for model in both)),
        ("rows a second", *(f"{model.rows_per_second:,.0f}" for model in both)),
        *((f"test {name}", *(metric_words(model.metrics[name]) for model in both)) for name in found.teacher.metrics),
    ]
    head = ["| | teacher | student |", "|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(cells)} |" for cells in rows)])


def _rows(found: Distilled) -> str:
    parts = ", ".join(f"{number} {name}" for name, number in found.rows.items())
    text = f"Rows: {parts}; epoch {found.epoch} of {found.epochs} was kept."
    if found.difference is None:
        return f"{text} There are no test rows, so that nothing is known of its worth."
    words = metric_words(found.difference, signed=True)
    return f"{text} Test {found.lead}, student minus teacher on the same patients: {words}."


def metric_words(metric: Metric, *, signed: bool = False) -> str:
    """Return a value with its interval.

    >>> metric_words(Metric(0.5, 9, 0.25, 0.75)), metric_words(Metric(-0.01, 9), signed=True)
    ('0.500 (0.250 to 0.750)', '-0.010')
    """
    if metric.value is None:
        return f"none: {metric.reason}" if metric.reason else "none"
    form = "+.3f" if signed else ".3f"
    between = "" if metric.low is None or metric.high is None else f" ({metric.low:{form}} to {metric.high:{form}})"
    return f"{metric.value:{form}}{between}"
