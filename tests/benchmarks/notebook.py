"""The whole notebook, start to end: this project, Keras, and a plain PyTorch loop, in turn.

    python tests/benchmarks/notebook.py --data ../shared/mnist --keras-python ~/keras/bin/python

``--keras-python`` is an interpreter of an environment with TensorFlow and Keras 3; without it Keras is left
out, and with ``--no-plain`` the plain loop, which takes longest. Further words are overrides of ours, such as
``experiment=speedrun``. Prints the seconds of each whole process, their medians, the ratio of ours to each of
the others, round by round, and what was reached. Nothing is asserted; leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dae.runs.record import device_name

HERE = Path(__file__).parent


def measured(command: list[str], folder: Path) -> dict[str, Any]:
    """Run a contestant as a process of its own: its seconds, and what it reached."""
    folder.mkdir()
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    found: dict[str, Any] = {"whole": time.perf_counter() - started}
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    if results := list(folder.glob("outputs/*/result.json")):
        metrics = json.loads(results[0].read_text())["metrics"]
        return {**found, "accuracy": metrics["classifier/test/accuracy"]}
    return {**found, **json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The whole notebook: this project, Keras, plain PyTorch.")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds MNIST/raw/*.gz")
    parser.add_argument("--keras-python")
    parser.add_argument("--plain", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("words", nargs="*", default=["experiment=notebook"])
    options = parser.parse_args()

    rounds: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        # A copy, since torchvision unpacks the files where they lie.
        data = Path(temporary) / "data"
        shutil.copytree(options.data, data, copy_function=shutil.copyfile)
        train = str(HERE.parents[1] / "train.py")
        commands = {"ours": [sys.executable, train, *options.words, f"data.root={data}"]}
        if options.plain:
            commands["plain PyTorch"] = [sys.executable, str(HERE / "plain_pytorch.py"), str(data), "10"]
        if options.keras_python:
            # Not resolved: a link, which knows its environment by its own place.
            interpreter = str(Path(options.keras_python).expanduser().absolute())
            commands["Keras"] = [interpreter, str(HERE / "keras_notebook.py"), str(data), "10"]
        for number in range(options.rounds):
            for name, command in commands.items():
                rounds.setdefault(name, []).append(measured(command, Path(temporary) / f"{name} {number}"))
                print(f"round {number + 1}, {name}: {rounds[name][-1]}", flush=True)
    print(f"\n{device_name()}, {options.rounds} rounds")
    for name, found in rounds.items():
        seconds = statistics.median(each["whole"] for each in found)
        ratios = [ours["whole"] / each["whole"] for ours, each in zip(rounds["ours"], found, strict=True)]
        accuracy = statistics.fmean(each["accuracy"] for each in found)
        shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"{name:15}{seconds:7.1f} s  accuracy {accuracy:.4f}  ours takes {shown} of it")


if __name__ == "__main__":
    main()
