"""What may come of a trial, in a word; its worker notes it among the trial's attributes, with the reason."""

from __future__ import annotations

OUTCOME, REASON = "outcome", "reason"  # the attributes' names

TRAINED, KNOWN, PRUNED = "trained", "known", "pruned"
DIVERGED, MEMORY, TIME, RAISED = "diverged", "memory", "time", "raised"
SETTLED = (TRAINED, KNOWN, PRUNED, DIVERGED, MEMORY, TIME, RAISED)  # these count as trials of the study
REFUSED, TWIN, INTERRUPTED = "refused", "twin", "interrupted"
DIED = "died"  # what is said of a trial whose worker did not live to note anything
