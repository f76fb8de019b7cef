"""The findings of a search as a text: ``search.md``."""

from __future__ import annotations

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from dae.text import pluralize, printable

# With fewer completed trials, no importance of a key can be computed.
ENOUGH = 10


def findings_text(study: optuna.Study) -> str:
    """``search.md``: how many trials there are, the best of all machines', what mattered.

    The rest is the leaderboard's.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if not is_left_out(trial)]
    by_state = {state: sum(trial.state == state for trial in trials) for state in TrialState}
    completed, pruned = by_state[TrialState.COMPLETE], by_state[TrialState.PRUNED]
    lines = [f"# Search: {completed} completed, {pruned} pruned, {by_state[TrialState.FAIL]} failed", ""]
    if completed:
        best = study.best_trial
        overrides = " ".join(best.user_attrs["overrides"])
        lines += [f"Best: {study.best_value:.4f}, trial {best.number}: {overrides}", ""]
        lines += [f"Importance: {_importance(study, completed)}.", ""]
    lines.append(
        "A larger `hydra.sweeper.n_trials` continues it; ranking and commands are in leaderboard.md."
    )
    return "\n".join(map(printable, lines)) + "\n"


def is_left_out(trial: FrozenTrial) -> bool:
    """Whether a trial does not count: its job was interrupted and will run again, or it repeated another."""
    return "left_out" in trial.user_attrs


def _importance(study: optuna.Study, completed: int) -> str:
    if completed < ENOUGH:
        are = "is" if completed == 1 else "are"
        return f"{pluralize(completed, 'completed trial')} {are} too few to tell ({ENOUGH} at least)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    listed = ", ".join(f"`{key}` {share:.2f}" for key, share in shares.items())
    return f"{listed} (PED-ANOVA)" if listed else "no key is in all trials"
