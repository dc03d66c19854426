"""The trainer: a hospital's side of the round protocol. It alone decides, and answers with gated updates only.

A request is checked, answered from the store if it was answered before, else: the received state is evaluated on the
site's own rows, trained from, and the difference goes through the gate, onto the disk, and out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from client.consent import check_request
from client.evidence import Reporter
from client.execution import Execution, limited_threads
from client.gate import Gate
from client.ledger import Ledger
from client.out_of_memory import told_when_out_of_memory
from client.private_reply import hidden
from client.recipe import recipe_of
from client.round_training import RoundWork, trained_names
from client.round_update import update_of
from client.shield import Shield
from client.site_rows import SiteRows
from client.site_work import HERE_AND_NOW, SiteWork
from client.step_log import StepLog
from client.steps import Setting, Step
from client.store import NOTHING, Kept, Store
from client.team import Team
from client.training import Trained
from common.bundle import Bundle
from common.compression import Compression
from common.errors import NotFiniteError, RefusedError
from common.labels import rarest
from common.metrics.classes import ClassMeasure
from common.protocol import PASSING_REASONS, Answer, Refusal, Reply, Request, Split, SplitEvaluation, asked_schema
from common.rank_slices import as_at_rank, padded
from common.seeds import generator, undrawn
from common.site_evidence import SiteEvidence
from common.state import AdapterSchema, AdapterState, Array
from common.workbench import Workbench

VALIDATION_RESAMPLES = 200


@dataclass(frozen=True)
class Trainer:
    """One site. Many virtual sites may share one workbench: a request writes every trainable tensor before use.

    check_consent: looks, after each step and before anything is let out, whether the hospital still agrees, and raises
    RefusedError with one of PASSING_REASONS where it does not. step_log: where the site writes each step down.
    team: the further processes of a site that trains on several devices. shield: of its patients, where the study has
    patient-level privacy; else `ledger`, where there is one, is told that nothing protects them. inherited: private
    tensors of the site's own that it begins with, where the study goes on from an earlier one; else the bundle's.
    site_work: what computes; HERE_AND_NOW with a shield or a team, which train what is in the workbench.
    """

    name: str
    bundle: Bundle
    rows: SiteRows
    bench: Workbench
    execution: Execution
    store: Store
    gate: Gate
    check_consent: Callable[[], None] = lambda: None
    step_log: StepLog | None = None
    team: Team | None = None
    shield: Shield | None = None
    ledger: Ledger | None = None
    inherited: AdapterState = field(default_factory=dict)
    site_work: SiteWork = HERE_AND_NOW

    @property
    def schema(self) -> AdapterSchema:
        """The whole adapter of the study."""
        return self.bundle.schema

    @property
    def compression(self) -> Compression:
        """How the study has updates compressed: what the gate expects."""
        return self.gate.compression

    def answer(self, request: Request) -> Answer:
        """Return a gated reply, the same bytes for the same request, or a refusal with a fixed word."""
        try:
            self._check(request)
            answered = self.store.find(request)
            if isinstance(answered, Reply):
                self.gate.check_again(answered, request, rarest=self._rarest(request))
        except RefusedError as error:
            self.gate.note_refusal(request, error.reason)
            return Refusal(error.reason)
        if answered is None:
            return self._answer_new(request)
        self._settle(request)
        self.gate.note_repetition(answered, request)
        return answered

    def _check(self, request: Request) -> None:
        check_request(request, self.bundle, site=self.name)
        if request.kind == "train" and not len(self.rows.train):
            raise RefusedError("NO_TRAINING_ROWS")
        self.gate.check_patients(len(set(self.rows.train.patients)))
        self.store.check_run(request.run, limit=self.gate.policy.runs)

    def _answer_new(self, request: Request) -> Answer:
        private = self._private_before(request)
        left_out = self.store.left_out(request) if request.kind == "train" and self.compression.keeps_error else NOTHING
        with limited_threads(self.execution.threads):
            answer, kept = self._gated(request, Kept(private, left_out))
        if not (isinstance(answer, Refusal) and answer.reason in PASSING_REASONS):
            self.store.save(request, answer, kept.private, kept.left_out)
            self._settle(request)
        return answer

    def _private_before(self, request: Request) -> AdapterState:
        initial = {n: self.inherited.get(n, self.bundle.initial[n]) for n in self.schema.private.names}
        # Where nothing is private, an earlier answer need not be read, nor be readable.
        return self.store.private(request, initial) if initial else {}

    def state_before(self, request: Request) -> AdapterState:
        """Return what is evaluated and trained from: what was received, and the site's own private tensors."""
        return self._received(request, self._private_before(request))

    def _received(self, request: Request, private: AdapterState) -> AdapterState:
        return {**padded(request.shared, self.schema), **private}

    def _settle(self, request: Request) -> None:
        """Note, once an answer is stored, that it may have left: asked again after its loss, it is charged anew."""
        if self.shield is not None:  # a refusal that is stored was charged as well
            self.shield.settle(request)

    def _charge(self, request: Request) -> None:
        """Have in the ledger what leaves in answer to a request, and of whom it tells exactly, before it is stored."""
        parts = [self.rows.part(split) for split in request.splits]
        parts += [self.rows.train, self.rows.validation] if "test" in request.splits and self._tells_more else []
        told = {patient for part in parts for patient in part.patients}
        if self.shield is not None:
            self.shield.charge(request, self.gate.policy)
            told = told if self.gate.policy.exact_metrics else set()
        elif request.kind == "train":
            told |= set(self.rows.train.patients)
        if self.ledger is not None and told:
            self.ledger.note_unprotected(request.study, told)

    def _gated(self, request: Request, before: Kept) -> tuple[Answer, Kept]:
        """Return what may leave, and what is remembered after it: what compression left out, only if the rest leaves.

        A refusal after the work is an answer too: it is stored, so that asking again trains nothing twice and cannot
        wear the gate down. Only what the hospital may lift is not stored.
        """
        try:
            self.gate.check_room(request)
            if self.shield is not None and request.kind == "train":
                self.shield.check_room(request, self.gate.policy)
            reply, kept = self._charged(request, before)
        except RefusedError as error:
            self.gate.note_refusal(request, error.reason)
            return Refusal(error.reason), before
        reply = reply if self.shield is None else hidden(reply, self.gate.policy)
        try:
            return self.gate.release(reply, request, rarest=self._rarest(request)), kept
        except RefusedError as error:
            return Refusal(error.reason), Kept(kept.private, before.left_out)

    def _charged(self, request: Request, before: Kept) -> tuple[Reply, Kept]:
        """Do the work, and count what it spends: also where training diverged, which is said of its noised tensors.

        Whether memory ran out may depend on whose rows were drawn: where patients are hidden it is said once, charged,
        and in the word of any other failure.
        """
        try:
            worked = told_when_out_of_memory(lambda: self._work(request, before), self.bundle.study, self.execution)
        except RefusedError as error:
            hides_memory = self.shield is not None and error.reason == "OUT_OF_MEMORY"
            if hides_memory or error.reason == "TRAINING_DIVERGED":
                self._charge(request)
            if hides_memory:
                raise RefusedError("TRAINING_FAILED") from None
            raise
        self.check_consent()
        self._charge(request)
        return worked

    def _work(self, request: Request, before: Kept) -> tuple[Reply, Kept]:
        start = time.perf_counter()
        self.site_work.receive(self._received(request, before.private), self.bench)
        evaluations = {split: self.evaluate(split, request) for split in request.splits}
        measured = {"seconds_evaluate": (evaluated := time.perf_counter()) - start}
        if request.kind == "evaluate":
            return Reply({}, len(self.rows.train), measured, evaluations), before
        trained = self._train(request)
        # Steps as a float, as the store gives them back: what leaves once more has the digest of the first time.
        figures = {"loss": trained.loss, "steps": float(trained.steps)}
        if trained.gradient_norm is not None:
            figures["gradient_norm"] = trained.gradient_norm
        measured |= figures | {"seconds_train": time.perf_counter() - evaluated}
        state = self.site_work.learned(self.bench)
        update = update_of(state, request, self._asked(request))
        payload, left_out = self._compressed(update, before.left_out, request)
        private: dict[str, Array] = {name: state[name] for name in before.private}
        return Reply(payload, len(self.rows.train), measured, evaluations), Kept(private, left_out)

    def _compressed(
        self, update: AdapterState, left_out: AdapterState, request: Request
    ) -> tuple[AdapterState, AdapterState]:
        rng = self._rng(request, "compression") if self.compression.draws else undrawn()
        try:
            return self.compression.compress(update, left_out, rng)
        except NotFiniteError:
            raise RefusedError("TRAINING_DIVERGED") from None

    def _rng(self, request: Request, purpose: str) -> np.random.Generator:
        return generator(request.seed, round_number=request.round, site=self.name, purpose=purpose)

    def _rarest(self, request: Request) -> Mapping[Split, int]:
        parts = {split: self.rows.part(split) for split in request.splits}
        return {split: rarest(self.bench.task, part.labels, part.patients) for split, part in parts.items()}

    def _asked(self, request: Request) -> tuple[str, ...]:
        return asked_schema(self.schema, request.kind, request.plan).names

    def _train(self, request: Request) -> Trained:
        about = {"study": self.bundle.study.name, "run": request.run, "round": request.round}
        log = nullcontext() if self.step_log is None else self.step_log.of_round(**about)
        with log as note:

            def after_step(step: Step) -> None:
                if note is not None:
                    note(step)
                self.check_consent()

            return self._trained(request, Setting(after_step=after_step, update_norms=note is not None))

    def _trained(self, request: Request, setting: Setting) -> Trained:
        work, examples = self.round_work(request), self.rows.train.examples
        if self.shield is not None:
            return self.shield.train(work, self.bench, examples, self.execution, setting)
        if self.team is not None:
            return self.team.train(work, self.bench.read(), self.bench, setting)
        return self.site_work.train(work, self.bench, examples, execution=self.execution, setting=setting)

    def round_work(self, request: Request) -> RoundWork:
        """Return what a request to train asks for."""
        study = self.bundle.study
        return RoundWork(
            site=self.name,
            seed=request.seed,
            recipe=recipe_of(study, round_number=request.round, proximal_mu=request.plan.proximal_mu),
            active=trained_names(self.bundle, request),
            private=self.schema.private.names,
            regulariser=study.training.regulariser,
            initial=as_at_rank(self.bundle.initial, self.schema, request.plan.rank),
            rank=request.plan.rank,
            extra=request.plan.extra,
        )

    def close(self) -> None:
        """End what this trainer started."""
        if self.team is not None:
            self.team.close()

    def evaluate(self, split: Split, request: Request) -> SplitEvaluation:
        """Score what is in the workbench on one split; test scores are also kept on the site's own disk."""
        part = self.rows.part(split)
        measure = self.bench.task.measure
        outputs = self.site_work.score(split, self.bench, part.examples, execution=self.execution)
        if split == "test":
            self.store.save_test_scores(request.run, outputs)
        wanted = self.bundle.study.evaluation.resamples
        resamples = wanted if split == "test" else min(wanted, VALIDATION_RESAMPLES)
        rng = self._rng(request, f"bootstrap {split}") if resamples else undrawn()
        scores = measure.evaluate(outputs, part.labels, part.patients, resamples=resamples, rng=rng)
        evidence = self._evidence(outputs, request) if split == "test" and self._tells_more else None
        return SplitEvaluation(scores, measure.summary(outputs, part.labels, part.patients), evidence)

    @property
    def _tells_more(self) -> bool:
        """Whether the study asks, and the hospital answers, for more than the metrics of all test rows."""
        asked = self.bundle.study.evaluation.asks_more
        return asked and self.gate.policy.release_cohort and self.shield is None

    def _evidence(self, test: NDArray[np.float64], request: Request) -> SiteEvidence:
        study, task = self.bundle.study, self.bench.task
        wanted = study.evaluation.recalibration and isinstance(task.measure, ClassMeasure)
        examples = self.rows.validation.examples
        validation = (
            self.site_work.score("validation", self.bench, examples, execution=self.execution) if wanted else None
        )
        reporter = Reporter(self.name, study, task, self.gate.policy, request.seed)
        return reporter.evidence(self.rows, validation=validation, test=test)
