"""What a run says at its end: metrics, signs that little was learned, where things are, what to type next."""

from __future__ import annotations

from collections.abc import Sequence

from dae.metrics import is_telling, left_out_words
from dae.runs.record import RunRecord
from dae.runs.records import read_run
from dae.words import counted, path_from_here, quoted_override, quoted_path, train_command


def closing_summary(record: RunRecord, stages: list[str], same_run: Sequence[str]) -> str:
    """Some lines for the console and the log.

    Args:
        record: Of the run.
        stages: That it ran.
        same_run: What a command needs to see the same images, and to be of the same arm.
    """
    folder = path_from_here(record.folder)
    assert record.objective is not None
    width = max(map(len, record.metrics))
    ceiling = read_run(record.folder, changed=True)["pixel_accuracy_ceiling"]
    lines, left_out = ["Result of the checkpoint that counts"], False
    for name, value in record.metrics.items():
        is_objective = name == record.objective.name
        if is_objective or is_telling(name, ceiling):
            lines.append(f"  {name:<{width}}  {value:.4f}{'  <- objective' if is_objective else ''}")
        else:
            left_out = True
    if left_out:
        lines.append(f"  {left_out_words(ceiling)}")
    if record.signs:
        lines.append(f"  Completed, but with {counted(len(record.signs), 'sign')} that little was learned:")
        lines += [f"    {sign.stage}: {sign.text}" for sign in record.signs]
    times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in record.seconds.items())
    checkpoints = ", ".join(record.checkpoints.values())
    lines += [f"  took         {times}", f"  run folder   {folder}  ({checkpoints})"]
    runs = quoted_path(record.folder.parent)
    lines.append(f"  look inside  {folder}/report.html; tensorboard --logdir {runs}")
    if "dae" in stages:
        place = quoted_override("classifier.encoder_checkpoint", folder)
        words = [f"{train_command()} stage=classifier classifier=linear", place, *same_run]
        lines.append(f"  go on        {' '.join(words)}")
    return "\n".join(lines)
