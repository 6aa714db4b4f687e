"""The table of trained networks: the finished trials of studies as one data file, a row a trial.

`vs.search.table()` reads the one in the package; `add_study` puts a study's trials into one.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ventralstream.errors import VentralError, reason
from ventralstream.files import replacing, why_no_file
from ventralstream.search.outcomes import DIED, SETTLED, outcome_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from pandas import DataFrame

    from ventralstream.search.study import Study

COLUMNS = {
    "study": "the study's name",
    "trial": "the trial's number in it",
    "space": "the name of the space that was searched",
    "sampler": "what proposed it: tpe, random or grid",
    "seed": "the study's seed",
    "wanted": "how many trials the study shall have",
    "outcome": "trained; known: handed the value of an earlier trial of the same network; pruned: ended before its last"
    " epoch, because others were better; diverged, memory (it ran out of it), time (it took too long), raised (another"
    " error) or died (too many workers died in it)",
    "point": "the known point that it was enqueued as, e.g. rgc; empty if it was sampled",
    "same_as": "the earlier trial of the same network, if it was handed its value",
    "spec_hash": "the same for the same network, whatever it is called",
    "parameters": "trainable parameters",
    "flops": "operations of a forward pass for an image",
    "accuracy": "the best validation accuracy of its epochs, 0 to 1; of a trial that was ended before that of its last"
    " one, if it had any",
    "epochs": "epochs that it was trained",
    "accuracy_by_epoch": "validation accuracy after each epoch, as a JSON list",
    "accuracy_by_step": "that of the logits of each step after the last epoch, from the first that the image drives,"
    " as a JSON list; empty if it was ended before",
    "v4_score": "how well it explains V4, where that was computed",
    "seconds": "how long the trial took",
    "params": "what was sampled, as a JSON object",
    "spec": "the network, as JSON for `vs.spec_from_json`",
    "recipe": "how it was trained, as JSON; what was sampled of it stands in params",
    "commit": "the commit of ventralstream",
}
FILE = "table.csv.gz"
_WHOLE = ("trial", "seed", "wanted", "same_as", "parameters", "flops", "epochs")


def table(path: str | Path | None = None) -> DataFrame:
    """The trials of our studies, a row each.

    The columns are documented in `ventralstream.search.trained.COLUMNS`. Those with JSON are text: `json.loads` reads
    them, and `vs.spec_from_json(row.spec)` makes a network's spec.

    Args:
        path: Another file of the same kind, as `ventral search table` writes it; the package's own if None.

    Raises:
        VentralError: there is no such file, or it is no table of trials.
    """
    if path is None:
        with resources.as_file(resources.files("ventralstream.search") / FILE) as own:
            return _read(own)
    return _read(Path(path))


def add_study(study: Study, path: str | Path) -> int:
    """Puts a study's finished trials into a table; those that it has of a study of that name are replaced.

    Those that a budget refused, or that were cut short and went on as another trial, are left out. The file is whole or
    as it was.

    Args:
        study: The study.
        path: The file, "NAME.csv" or "NAME.csv.gz"; it is made if it is not there.

    Returns:
        How many trials of the study are in it.

    Raises:
        VentralError: the file is no table of trials, or has another ending.
    """
    import pandas

    path = Path(path)
    if not path.name.endswith((".csv", ".csv.gz")):
        raise VentralError(f"the table '{path}' must end in .csv or .csv.gz")
    rows = [_row(study, trial, said) for trial in study.trials if (said := _settled(study, trial))]
    new = pandas.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(_WHOLE, "Int64"))
    if path.exists():
        there = _read(path)
        new = pandas.concat([part for part in (there[there["study"] != study.name], new) if len(part)] or [new])
    new = new.sort_values(["study", "trial"])
    packed: Any = (
        {"method": "gzip", "mtime": 0} if path.name.endswith(".gz") else None
    )  # the same trials, the same file
    with replacing(path) as part:
        new.to_csv(part, index=False, compression=packed)
    return len(rows)


def _settled(study: Study, trial: FrozenTrial) -> str:
    """What came of a trial that counts as one of the study; "" if it does not."""
    from ventralstream.search.requeue import given_up  # Optuna, which the table of the package does without

    if given_up(trial, study.search.deaths):
        return DIED
    said = outcome_of(trial)
    return said if said in SETTLED else ""


def _row(study: Study, trial: FrozenTrial, outcome: str) -> dict[str, Any]:
    note = trial.user_attrs
    by_epoch = [value for _, value in sorted(trial.intermediate_values.items())]
    return {
        "study": study.name,
        "trial": trial.number,
        "space": study.space_name,
        "sampler": study.search.sampler,
        "seed": study.search.seed,
        "wanted": study.search.trials,
        "outcome": outcome,
        "point": note.get("known"),
        **{key: note.get(key) for key in ("same_as", "spec_hash", "parameters", "flops", "v4_score", "seconds")},
        "accuracy": trial.value,
        "epochs": len(by_epoch),
        "accuracy_by_epoch": _json(by_epoch),
        "accuracy_by_step": _json(note.get("accuracy_by_step", [])),
        "params": _json(trial.params),
        "spec": _json(json.loads(note["spec"])) if "spec" in note else None,
        "recipe": _json(study.recipe.to_json()),
        "commit": study.attributes.get("commit"),
    }


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _read(path: Path) -> DataFrame:
    import pandas

    if why := why_no_file(path):
        raise VentralError(f"there is no table of trials at '{path}': {why}")
    try:
        text = ("study", "space", "sampler", "outcome", "point", "spec_hash", "spec", "commit")
        kinds: Any = {**dict.fromkeys(text, str), **dict.fromkeys(_WHOLE, "Int64")}
        found = pandas.read_csv(path, dtype=kinds)
    except (ValueError, OSError, EOFError) as error:
        raise VentralError(f"'{path}' is no table of trials: {reason(error)}") from None
    if missing := [name for name in COLUMNS if name not in found.columns]:
        raise VentralError(f"'{path}' is no table of trials: it has no column '{missing[0]}'")
    return found[list(COLUMNS)]
