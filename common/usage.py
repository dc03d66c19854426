"""What a task file says of its adapters' use where fedpeft is not installed: plain text, read without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from common import plugins


@dataclass(frozen=True)
class Usage:
    """The `usage` of a task file.

    pooling: how the head's input is made of the base model's output, in words.
    pipeline_tag: the task's name at Hugging Face, for the model card.
    snippet: Python that computes `probabilities` (texts, classes) of `texts`, or what else the task predicts, with
        torch, peft, transformers and safetensors. What a reader fills in has a line each:
        BASE_MODEL = "path/to/base-model", ADAPTER = "path/to/this-folder", HEAD = $head_files (the files with the
        head's tensors, if it has any), texts = [...]. `$max_length` is the study's, `$$` a dollar sign.
    warning: what whoever hands such an adapter on must know, as Markdown; none where it is empty.
    """

    pooling: str
    pipeline_tag: str
    snippet: str
    warning: str = ""

    def code(self, *, max_length: int, head_files: Sequence[str]) -> str:
        """Return the snippet filled in; `head_files` are Python expressions.

        >>> Usage("", "", "HEAD = $head_files").code(max_length=128, head_files=['"a"', 'f"{ADAPTER}/b"'])
        'HEAD = ["a", f"{ADAPTER}/b"]'
        """
        return Template(self.snippet).substitute(max_length=max_length, head_files=f"[{', '.join(head_files)}]")


def usage_of(kind: str) -> Usage:
    """Return the usage of the task `kind`; one that does not exist is a StudyError."""
    found: Usage = plugins.load("common.tasks", kind, key="task.kind").usage
    return found
