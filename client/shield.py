"""What stands before a site's patients in a study with patient-level privacy: noise, and the ledger.

A round's charge is on the disk before its answer is stored, and the answer is stored before it leaves: see
`client.ledger`. What else a reply says is `client.private_reply`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from client.execution import Execution
from client.ledger import Ledger, Limit
from client.ledger_files import ChargeKey
from client.policy import Policy
from client.private_training import Protection, train_privately
from client.round_training import RoundWork
from client.row_gradients import Start
from client.steps import Setting
from client.training import Trained
from common.errors import RefusedError
from common.privacy._accounting import Spending, epsilon_of
from common.privacy._noise import SECURE, Entropy
from common.privacy.patient_dp import PatientDP
from common.protocol import Request
from common.study import Study
from common.tasks import AnyExample
from common.workbench import Workbench


@dataclass(frozen=True)
class Shield:
    """One study at one site. patients: of the training rows. start: makes a checked engine (`client.private_check`).

    is_limited: whether the policy's budget holds; a simulation counts only.
    """

    mechanism: PatientDP
    study: Study
    patients: Sequence[str]
    start: Start
    ledger: Ledger
    is_limited: bool = True
    entropy: Entropy = SECURE

    @property
    def spending(self) -> Spending:
        """What one round spends of each patient."""
        return self.mechanism.round_of(self.study, len(set(self.patients)))

    @property
    def protection(self) -> Protection:
        """What a round is trained with."""
        mechanism = self.mechanism
        return Protection(self.spending, mechanism.clip_norm, mechanism.rows_per_patient, self.start, self.entropy)

    def train(
        self, work: RoundWork, bench: Workbench, examples: Sequence[AnyExample], execution: Execution, setting: Setting
    ) -> Trained:
        """Train what is in the workbench, in place, such that no patient can be told from the result."""
        return train_privately(
            bench,
            examples,
            self.patients,
            work.recipe,
            self.protection,
            active=work.active,
            private=work.private,
            execution=execution,
            setting=setting,
        )

    def check_room(self, request: Request, policy: Policy) -> None:
        """Raise RefusedError("PRIVACY_BUDGET_SPENT") before any work where a round would spend more than there is.

        That is the policy's, and what the study promised of one run: where the number of patients changes amid it,
        rounds cost other than was planned.
        """
        if not self.is_limited:
            return
        limit, mechanism = _limit(policy), self.mechanism
        spent = self.ledger.would_be(self.patients, [self.spending], delta=limit.delta, accountant=limit.accountant)
        if spent > limit.epsilon or (mechanism.target is not None and self._of_run(request) > mechanism.target):
            raise RefusedError("PRIVACY_BUDGET_SPENT")

    def _of_run(self, request: Request) -> float:
        """Return what this run has spent with this round, at the study's own delta, of who was in all rounds."""
        book, _ = self.ledger.read()
        others = [
            charge.spending
            for charge in book.charges
            if (charge.key.study, charge.key.run) == (request.study, request.run) and charge.key != key_of(request)
        ]
        mechanism = self.mechanism
        return epsilon_of([*others, self.spending], delta=mechanism.delta, accountant=mechanism.accountant)

    def charge(self, request: Request, policy: Policy) -> None:
        """Count a trained round; it is on the disk when this returns. Raises RefusedError, and counts nothing then."""
        if request.kind == "train":
            limit = _limit(policy) if self.is_limited else None
            self.ledger.charge(key_of(request), self.patients, self.spending, limit=limit)

    def settle(self, request: Request) -> None:
        """Note that the answer is stored and may leave."""
        if request.kind == "train":
            self.ledger.settle(key_of(request))


def key_of(request: Request) -> ChargeKey:
    """Return what a charge for the answer to `request` is known by."""
    return ChargeKey(request.study, request.run, request.round, request.kind, request.digest)


def _limit(policy: Policy) -> Limit:
    return Limit(policy.privacy_epsilon, policy.privacy_delta)
