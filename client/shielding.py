"""Whether a study protects single patients, and what a site then needs for it."""

from __future__ import annotations

from collections.abc import Sequence

from client.execution import Execution, by_row
from client.private_check import checked_engine
from client.row_gradients import Start
from common.privacy.patient_dp import PatientDP
from common.protecting import mechanism_of
from common.study import Study
from common.tasks import AnyExample
from common.workbench import Workbench


def patient_mechanism(study: Study) -> PatientDP | None:
    """Return the mechanism of a study that protects single patients, else None."""
    mechanism = mechanism_of(study)
    return mechanism if isinstance(mechanism, PatientDP) else None


def suited(execution: Execution, study: Study) -> Execution:
    """Return how to compute: as resolved, and so that rows come apart where the study needs it."""
    return execution if patient_mechanism(study) is None else by_row(execution)


def engine_for(study: Study, bench: Workbench, examples: Sequence[AnyExample], execution: Execution) -> Start | None:
    """Return a checked engine; None where the study needs none, or there is no row to check it on."""
    if patient_mechanism(study) is None or not examples:
        return None
    return checked_engine(study, bench, examples, execution)
