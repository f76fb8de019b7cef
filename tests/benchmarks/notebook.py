"""The whole notebook, start to end: this project, Keras, and a plain PyTorch loop, in turn.

    python tests/benchmarks/notebook.py --data ../shared/mnist --keras-python ~/keras/bin/python

``--keras-python`` is an interpreter of an environment with TensorFlow and Keras 3; without it Keras is left
out, and with ``--no-plain`` the plain loop, which takes longest. Where ``trainer.precision=auto`` is not
float32, ours runs with either. Prints the median, smallest and largest seconds of the whole process and of
both stages, the peak memory, and the ratios of ours to the others round by round. Nothing is asserted; leave
the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dae.runs.record import device_name
from dae.training.trainer import best_precision, device_type

HERE = Path(__file__).parent
PARTS = ("whole", "dae", "classifier")


def measured(command: list[str], folder: Path) -> dict[str, Any]:
    """Run a contestant as a process of its own; its seconds in all and its peak memory in GB."""
    started = time.perf_counter()
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    text = (folder / "output").read_text()
    if status:
        raise SystemExit(f"{' '.join(command)} failed:\n{text[-3000:]}")
    # Units of 1,024 bytes on Linux.
    found: dict[str, Any] = {"whole": seconds, "memory": usage.ru_maxrss * 1024 / 1e9}
    results = list(folder.glob("outputs/*/result.json"))
    if results:
        result = json.loads(results[0].read_text())
        metrics = result["metrics"]
        accuracy = metrics["classifier/test/accuracy"]
        return {**found, **result["seconds"], "val_loss": metrics["dae/val/loss"], "accuracy": accuracy}
    return {**found, **json.loads(text.splitlines()[-1])}


def contestants(data: Path, epochs: int, keras_python: str | None, plain: bool) -> dict[str, list[str]]:
    """Their commands by name, ours first."""
    commands = {}
    here = [sys.executable, str(HERE.parents[1] / "train.py"), "experiment=notebook", f"data.root={data}"]
    here += [f"dae.epochs={epochs}", f"classifier.epochs={epochs}"]
    if best_precision(device_type("auto")[0])[0] != "32-true":
        commands["ours, auto"] = [*here, "trainer.precision=auto"]
    commands["ours, float32"] = here
    if plain:
        loop = [sys.executable, str(HERE / "plain_pytorch.py"), str(data), str(epochs)]
        commands["plain PyTorch"] = loop
    if keras_python:
        # Not resolved: an environment's interpreter is a link, and knows its environment by its own place.
        interpreter = str(Path(keras_python).expanduser().absolute())
        commands["Keras"] = [interpreter, str(HERE / "keras_notebook.py"), str(data), str(epochs)]
    return commands


def show(name: str, rounds: list[dict[str, Any]]) -> str:
    """A line of the table."""
    cells = []
    for part in PARTS:
        values = [found[part] for found in rounds]
        cells.append(f"{statistics.median(values):7.1f} ({min(values):.1f} - {max(values):.1f})".ljust(25))
    last = rounds[-1]
    tail = (
        f"{max(found['memory'] for found in rounds):5.2f} GB  {last['val_loss']:.4f}  {last['accuracy']:.4f}"
    )
    return f"{name:15}{''.join(cells)}{tail}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The whole notebook: this project, Keras, plain PyTorch.")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds MNIST/raw/*.gz")
    parser.add_argument("--keras-python")
    parser.add_argument("--plain", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    rounds: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        # A copy, since torchvision unpacks the files where they lie.
        data = Path(temporary) / "data"
        shutil.copytree(options.data, data, copy_function=shutil.copyfile)
        commands = contestants(data, options.epochs, options.keras_python, options.plain)
        for number in range(options.rounds):
            for name, command in commands.items():
                folder = Path(temporary) / f"{name} {number}"
                folder.mkdir()
                rounds.setdefault(name, []).append(measured(command, folder))
                print(f"round {number + 1}, {name}: {rounds[name][-1]['whole']:.1f} s", flush=True)

    print(f"\n{device_name()}, {options.epochs} + {options.epochs} epochs, {options.rounds} rounds; seconds")
    print(f"{'':15}" + "".join(part.ljust(25) for part in PARTS) + "memory    val loss, test accuracy")
    for name, found in rounds.items():
        print(show(name, found))
    ratios: dict[str, dict[str, list[float]]] = {}
    for ours in (name for name in rounds if name.startswith("ours")):
        for other in (name for name in rounds if not name.startswith("ours")):
            pairs = list(zip(rounds[ours], rounds[other], strict=True))
            ratios[f"{ours} / {other}"] = {part: [a[part] / b[part] for a, b in pairs] for part in PARTS}
    for name, parts in ratios.items():
        cells = [
            f"{part} {statistics.median(v):.2f} ({min(v):.2f} - {max(v):.2f})" for part, v in parts.items()
        ]
        print(f"{name:30}{', '.join(cells)}")
    if options.json:
        content = {"device": device_name(), "rounds": rounds, "ratios": ratios}
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
