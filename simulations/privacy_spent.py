"""What each virtual site has spent of its patients in a run, by its ledger: real sites keep this to themselves."""

from collections.abc import Mapping

from client.shielding import patient_mechanism
from simulations.virtual import VirtualSites


def spent_by_site(sites: VirtualSites) -> Mapping[str, Mapping[str, object]] | None:
    """Return {site: {"epsilon", "patients", "noise_multiplier", "sampling_probability", "steps", "rounds"}}.

    patients: of the training rows. steps: of one round. None where the study protects no patients.
    """
    mechanism = patient_mechanism(sites.bundle.study)
    if mechanism is None:
        return None
    found: dict[str, Mapping[str, object]] = {}
    for site in sorted(sites.rows):
        ledger, patients = sites.ledger(site), sites.rows[site].train.patients
        one = mechanism.round_of(sites.bundle.study, len(set(patients)))
        found[site] = {
            "epsilon": ledger.spent(patients, delta=mechanism.delta, accountant=mechanism.accountant),
            "patients": len(set(patients)),
            "noise_multiplier": one.noise_multiplier,
            "sampling_probability": one.sampling_probability,
            "steps": one.steps,
            "rounds": len(ledger.read()[0].charges),
        }
    return found
