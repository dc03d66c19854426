from collections import Counter

from simulations.builtin_rows import quick_clinical


def test_each_patient_has_a_name_and_a_record_number_of_one_hospital() -> None:
    rows = quick_clinical.rows()
    assert Counter(row["site"] for row in rows) == {"hill": 300, "lake": 220, "port": 160}
    people: dict[str, set[str]] = {}
    for row in rows:
        name, record = row["note"].split(", ")[:2]
        people.setdefault(row["patient"], set()).add(f"{name}, {record}, {row['age']}")
        assert record.removeprefix("record ").isdigit()
    assert all(len(each) == 1 for each in people.values())
    assert len({next(iter(each)) for each in people.values()}) == len(people)


def test_names_are_of_no_one_and_told_apart_from_other_words() -> None:
    assert len(set(quick_clinical.given_names())) == len(set(quick_clinical.surnames())) == quick_clinical.NAMES
    assert quick_clinical.rows() == quick_clinical.rows()
