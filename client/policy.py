"""A site's policy: what a hospital lets out, of whom and when. It fails closed: without a good file nothing leaves."""

import os
import stat
import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from client.hours import parse_span
from common import keys, plugins
from common.bundle import Bundle
from common.compressing import compression_of
from common.errors import UserError
from common.files import digest_json
from common.protecting import mechanism_of
from common.rank_slices import sliced_schema
from common.state import AdapterSchema
from common.study import Study
from common.study_file import first_error
from common.study_task import metric_names, task_of

METHODS = "common.peft_methods"
REFUSED_METHOD = "full"
"""Fine-tuning all of the model is refused unless a hospital names it: its update says the most of single patients."""
TEXT_BYTES = 4096
"""Of metrics and figures in one reply; score histograms, where they may leave, add some for each row."""
EVIDENCE_BYTES = 64 * 1024
"""Of a cohort and of subgroups, where a study asks for some."""
CLOSING_MESSAGES = 2
LARGEST_RATIO = 100.0
"""Of the weights that a loss gives to two classes: beyond it, an update is of the few patients of one class alone."""


def default_methods() -> tuple[str, ...]:
    """Return the installed PEFT methods but `full`."""
    return tuple(name for name in plugins.available(METHODS) if name != REFUSED_METHOD)


class Policy(BaseModel):
    """What a hospital lets out. The defaults are those of a real site; a simulation opens much of it.

    coordinators: public signing keys of those whose studies may be approved. methods: allowed PEFT methods. tensors:
    fnmatch patterns of the names that may leave. max_update_bytes: tensors of one reply. max_study_bytes: all that
    leaves in answer to one study, each answer counted once. max_update_norm: Euclidean, over all tensors.
    minimum_patients: with fewer to train on nothing is answered, and metrics of fewer are withheld.
    minimum_class_patients: metrics are withheld too where fewer patients are of one class, or have one number or text
    of few (see `common.labels.rarest`). metrics: names that may leave. release_cohort: whether what describes the
    patients and parts of them may leave where a study asks for it. small_cell: of fewer patients none of that. hours:
    see `client.hours`; none is any time.
    runs: how many runs of a study are answered; a new run can ask everything again.
    privacy_epsilon, privacy_delta: the most that all studies with a guarantee together may spend of one patient.
    require_privacy: only studies whose guarantee is of patients. Of such studies: count_step, to a multiple of which
    counts of rows are rounded; exact_metrics, whether metrics may leave outside the guarantee, without noise;
    patient_id, the column that they must take for the patient: under another one everybody would be new; where it is
    given, studies that describe patients must take it too.
    adopt_max_loss: what a new global adapter may lose on the site's own validation rows and still be used here.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    coordinators: tuple[str, ...] = ()
    methods: tuple[str, ...] = Field(default_factory=default_methods)
    tensors: tuple[str, ...] = ("*",)
    max_update_bytes: int = Field(default=64 * 2**20, ge=1)
    max_study_bytes: int = Field(default=2**30, ge=1)
    max_update_norm: float | None = Field(default=None, gt=0)
    minimum_patients: int = Field(default=10, ge=0)
    minimum_class_patients: int = Field(default=5, ge=0)
    metrics: tuple[str, ...] = Field(default_factory=metric_names)
    release_histograms: bool = False
    release_cohort: bool = False
    small_cell: int = Field(default=10, ge=0)
    hours: tuple[str, ...] = ()
    runs: int = Field(default=1, ge=1)
    privacy_epsilon: float = Field(default=8.0, gt=0)
    privacy_delta: float = Field(default=1e-5, gt=0, lt=1)
    require_privacy: bool = False
    count_step: int = Field(default=10, ge=1)
    exact_metrics: bool = False
    patient_id: str = ""
    adopt_max_loss: float = Field(default=0.02, ge=0)

    @field_validator("coordinators")
    @classmethod
    def _are_keys(cls, found: tuple[str, ...]) -> tuple[str, ...]:
        for text in found:
            try:
                keys.check_public(text)
            except keys.SignatureError as error:
                raise ValueError(str(error)) from None
        return found

    @field_validator("methods")
    @classmethod
    def _are_installed(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        _check_known("PEFT method", names, sorted({*plugins.available(METHODS), REFUSED_METHOD}))
        return names

    @field_validator("metrics")
    @classmethod
    def _are_metrics(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        _check_known("metric", names, metric_names())
        return names

    @field_validator("hours")
    @classmethod
    def _are_spans(cls, hours: tuple[str, ...]) -> tuple[str, ...]:
        for text in hours:
            parse_span(text)
        return hours

    @property
    def digest(self) -> str:
        """Digest of every rule: an approval records under which policy it was given."""
        return _digest_of(self)

    def lets_out(self, tensor: str) -> bool:
        """Whether a tensor of this name may leave."""
        return any(fnmatchcase(tensor, pattern) for pattern in self.tensors)


@lru_cache(maxsize=1 << 4)
def _digest_of(policy: Policy) -> str:
    """Every entry of a journal says it, and the policy is the same for years."""
    return digest_json(policy.model_dump(mode="json"))


def _check_known(kind: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"there is no {kind} {unknown[0]!r}; there are: {', '.join(known)}")


def read_policy(path: Path) -> Policy:
    """Read a policy file. Raises UserError with file, key and what would be right; then the site answers nothing."""
    try:
        with path.open("rb") as file:
            _check_mode(path, os.fstat(file.fileno()))
            return Policy.model_validate(tomllib.load(file))
    except OSError as error:
        raise UserError(
            f"policy file {path.name} cannot be read ({error.strerror}): the site answers nothing; "
            "`fedpeft site init` writes one with comments"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"policy file {path.name} is not TOML, and the site answers nothing: {error}") from None
    except ValidationError as error:
        raise UserError(f"{path.name}, and the site answers nothing: {first_error(error, Policy)}") from None


def _check_mode(path: Path, found: os.stat_result) -> None:
    """A rule that others than the hospital's own user may change is none."""
    mode = stat.S_IMODE(found.st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UserError(
            f"policy file {path.name} may be changed by others than its owner (mode {mode:04o}), and the site answers "
            f"nothing: chmod go-w {path.name}"
        )


def leaving_schema(bundle: Bundle, site: str) -> AdapterSchema:
    """Return the tensors that a site sends, those of its LoRA rank."""
    return sliced_schema(bundle.schema.shared, bundle.study.federation.ranks.get(site))


def reply_bytes(bundle: Bundle, site: str) -> int:
    """Return the bytes of the tensors of one reply that has all that are shared, compressed as the study says."""
    return compression_of(bundle.study.compression).wire_schema(leaving_schema(bundle, site)).size_bytes


def study_bytes(bundle: Bundle, site: str) -> int:
    """Return about how many bytes leave in answer to one run: tensors each round, and what is said beside them."""
    rounds = bundle.study.federation.rounds
    evidence = EVIDENCE_BYTES if bundle.study.evaluation.asks_more else 0
    return rounds * reply_bytes(bundle, site) + (rounds + CLOSING_MESSAGES) * TEXT_BYTES + evidence


def is_nearly_full(bundle: Bundle) -> bool:
    """Whether more numbers are trained than stay frozen: under whatever name, such an update says as much as `full`."""
    return bundle.schema.size > bundle.base_model.parameters


def weighs_alone(bundle: Bundle) -> bool:
    """Whether the study's loss counts one class so much more than another that its rows alone make the update."""
    weights = getattr(getattr(task_of(bundle.study.task), "criterion", None), "weights", None)
    return weights is not None and max(weights) > LARGEST_RATIO * min(weights)


def describes_others(policy: Policy, study: Study) -> bool:
    """Whether a study would be told of patients, and takes another column for the patient than the policy names."""
    is_told = policy.release_cohort and study.evaluation.asks_more
    return is_told and policy.patient_id not in ("", study.data.patient_id)


def objections(policy: Policy, bundle: Bundle, *, site: str, coordinator: str) -> list[str]:
    """Return why this site's policy forbids a study, in plain words; none means that it may be approved."""
    shared = leaving_schema(bundle, site)
    kept = [name for name in shared.names if not policy.lets_out(name)]
    forbidden = [name for name in bundle.study.peft.methods if name not in policy.methods]
    found = {
        f"the coordinator {keys.fingerprint(coordinator)} is not among the policy's coordinators": (
            coordinator not in policy.coordinators
        ),
        f"this site, {site}, is not on the study's roster: {', '.join(bundle.study.federation.sites)}": (
            site not in bundle.study.federation.sites
        ),
        f"the method {', '.join(forbidden)} is not among the policy's methods: {', '.join(policy.methods)}": (
            bool(forbidden)
        ),
        f"it trains {bundle.schema.size} numbers of the model, more than it leaves frozen, and {REFUSED_METHOD!r} is "
        "not among the policy's methods": is_nearly_full(bundle) and REFUSED_METHOD not in policy.methods,
        f"its loss weighs one label more than {LARGEST_RATIO:g} times another, so that an update is of that label's "
        "patients alone, however few; minimum_class_patients = 0 lets it": (
            weighs_alone(bundle) and policy.minimum_class_patients > 0
        ),
        f"{len(kept)} tensors match none of the policy's patterns, such as {', '.join(kept[:3])}": bool(kept),
        f"a reply has {reply_bytes(bundle, site)} bytes of tensors, the policy allows {policy.max_update_bytes}": (
            reply_bytes(bundle, site) > policy.max_update_bytes
        ),
        f"all replies have about {study_bytes(bundle, site)} bytes, the policy allows {policy.max_study_bytes}": (
            study_bytes(bundle, site) > policy.max_study_bytes
        ),
        f"its privacy mechanism, {bundle.study.privacy.mechanism!r}, gives patients no guarantee, and the policy "
        "requires one": policy.require_privacy and mechanism_of(bundle.study).unit != "patient",
        f"it takes data.patient_id = {bundle.study.data.patient_id!r} for the patient whom its guarantee is of, the "
        f"policy says {policy.patient_id or 'nothing'!r}: patient_id in policy.toml fixes the column for all studies, "
        "since under another one everybody would have a fresh budget": (
            mechanism_of(bundle.study).unit == "patient" and bundle.study.data.patient_id != policy.patient_id
        ),
        f"it counts patients by data.patient_id = {bundle.study.data.patient_id!r} in what it has told of them, the "
        f"policy says {policy.patient_id!r}: under another column the visits of a few patients are many": (
            describes_others(policy, bundle.study)
        ),
    }
    return [text for text, holds in found.items() if holds]
