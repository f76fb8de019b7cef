"""The findings of a search as a text: ``search.md``."""

from __future__ import annotations

import shlex
import warnings
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from dae.metrics import Metric
from dae.words import counted, markdown, printable, train_command

TOP = 5
# With fewer completed trials, no importance of a key can be computed.
ENOUGH = 10
# Metrics that are measured on the clean input, which favours little noise in training.
OF_CLEAN_INPUT = ("dae/val/loss", "dae/val/pixel_accuracy")


def findings_text(study: optuna.Study, objective: Metric, keys: list[str], command: list[str]) -> str:
    """``search.md``: the best trials, what mattered, what to type next.

    Args:
        study: The search's study.
        objective: What its trials are judged by.
        keys: The keys that were searched over.
        command: The command that continues the search.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if not is_left_out(trial)]
    by_state = {state: [trial for trial in trials if trial.state == state] for state in TrialState}
    completed, failed = by_state[TrialState.COMPLETE], by_state[TrialState.FAIL]
    best = sorted(completed, key=lambda trial: _value(trial), reverse=objective.mode == "max")
    counts = f"{len(completed)} completed, {len(by_state[TrialState.PRUNED])} pruned, {len(failed)} failed"
    lines = [f"# Search: {counts}", "", f"Objective: `{objective.name}` ({objective.mode}).", ""]
    if objective.name in OF_CLEAN_INPUT and any(key.startswith(("dae.noise", "dae/noise")) for key in keys):
        advice = "compare denoisers by `objective=dae/val/noisy_loss`"
        lines += [f"Caution: it is measured on the clean input, which favours little noise; {advice}.", ""]
    if best:
        lines += [*_table(best[:TOP], keys), "", f"Importance: {_importance(study, len(completed))}.", ""]
    if failed:
        lines += ["Failed, each with its error in its own folder:", ""]
        lines += [f"- `{Path(trial.user_attrs['folder']).name}`" for trial in failed] + [""]
    if best:
        # An experiment that is a search would begin another.
        single = ["hydra.mode=RUN"] if any("experiment=" in text for text in _overrides(best[0])) else []
        lines += [
            "The best again:",
            "",
            _shell([*train_command().split(), *single, *_overrides(best[0])]),
            "",
        ]
    lines += [
        "To continue, with a larger `hydra.sweeper.n_trials` if the search is complete:",
        "",
        _shell(command),
    ]
    return "\n".join(map(printable, lines)) + "\n"


def is_left_out(trial: FrozenTrial) -> bool:
    """Whether a trial does not count: its job was interrupted and will run again, or it repeated another."""
    return "left_out" in trial.user_attrs


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _overrides(trial: FrozenTrial) -> list[str]:
    return list(trial.user_attrs["overrides"])


def _shell(words: list[str]) -> str:
    return f"    {shlex.join(words)}"


def _table(trials: list[FrozenTrial], keys: list[str]) -> list[str]:
    """Markdown whose columns line up in a terminal too."""
    rows = [["", "objective", "trial", *keys]]
    for rank, trial in enumerate(trials, 1):
        values = [str(trial.params.get(key, "-")) for key in keys]
        rows.append([str(rank), f"{_value(trial):.4f}", str(trial.number), *values])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    return [f"| {' | '.join(map(str.ljust, map(markdown, row), widths))} |" for row in rows]


def _importance(study: optuna.Study, completed: int) -> str:
    if completed < ENOUGH:
        are = "is" if completed == 1 else "are"
        return f"{counted(completed, 'completed trial')} {are} too few to tell ({ENOUGH} at least)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    listed = ", ".join(f"`{key}` {share:.2f}" for key, share in shares.items())
    return f"{listed} (PED-ANOVA)" if listed else "no key is in all trials"
