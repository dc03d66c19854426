"""A policy as the commented file that a hospital reads and changes."""

import json

from client.policy import Policy

_COMMENTS = {
    "coordinators": "Public signing keys of the coordinators whose studies may be approved here.",
    "methods": "Allowed PEFT methods. Name 'full' only if updates of the whole model may leave.",
    "tensors": "Names of tensors that may leave; * stands for any characters.",
    "max_update_bytes": "Bytes of tensors in one reply.",
    "max_study_bytes": "Bytes in answer to one study, over all its rounds and runs.",
    "max_update_norm": "Largest Euclidean norm of an update; without this line there is no bound.",
    "minimum_patients": "With fewer training patients nothing is answered, and metrics of fewer are withheld.",
    "minimum_class_patients": "Metrics are withheld where fewer patients are of one class, or have one of few labels.",
    "metrics": "Metrics that may leave, each with the number of rows behind it.",
    "release_histograms": "Whether summaries may leave for metrics over all sites: score histograms, sums.",
    "release_cohort": "Whether what describes patients may leave: counts, sums, metrics of subgroups, calibration.",
    "small_cell": "Of fewer patients than this no cell of them, and no subgroup; 0 hides none.",
    "hours": "When the site answers, in local time: ['Mo-Fr 20:00-06:00', 'Sa,Su 00:00-24:00']; [] is any time.",
    "runs": "How many runs of one study are answered; a new run can ask everything again.",
    "privacy_epsilon": "Largest epsilon that all studies with a guarantee together may spend of one patient.",
    "privacy_delta": "The delta that it is counted at; well below 1 in the number of patients.",
    "require_privacy": "Whether only studies that guarantee something to each patient may be approved.",
    "count_step": "In studies with such a guarantee counts of rows leave rounded to multiples of this.",
    "exact_metrics": "Whether metrics leave in such studies without noise, so outside the guarantee.",
    "patient_id": "The patient's id column: such studies must name it; given, those that describe patients must too.",
    "adopt_max_loss": "How much a new adapter may lose on the validation rows here, in the leading metric, to be used.",
}


def policy_text(policy: Policy) -> str:
    """Return the TOML of a policy, a comment before each rule."""
    head = "# What may leave this site. A change holds from the next message on; a mistake stops every answer.\n"
    return head + "".join(_rule(key, value) for key, value in policy.model_dump(mode="json").items())


def comment_of(rule: str) -> str:
    """Return what a rule means."""
    return _COMMENTS[rule]


def _rule(key: str, value: object) -> str:
    line = f"# {key} = 1.0" if value is None else f"{key} = {toml_value(value)}"
    return f"\n# {comment_of(key)}\n{line}\n"


def toml_value(value: object) -> str:
    """Return a text, number, truth value or list as TOML.

    >>> toml_value(["é", 1, True])
    '["é", 1, true]'
    """
    # A JSON text or number is a TOML one too, as long as characters outside ASCII stand for themselves.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
