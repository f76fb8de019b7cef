"""What the way in which threads wait costs, on a quiet machine and beside processes that compute.

    python tests/benchmarks/threads.py [--rounds 5]

Each figure is the median training step of a process of its own, since OpenMP reads its settings once. The
ways take turns; a ratio is to the best way of the same round. Leave the machine alone. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dae.training.machine import SPIN

WAYS: dict[str, dict[str, str]] = {
    "OpenMP's default": {},
    "ours": SPIN,
    **{f"GOMP_SPINCOUNT={turns}": {"GOMP_SPINCOUNT": str(turns)} for turns in (1_000, 3_000, 30_000)},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
STEP = """
import statistics, sys, time
import steps, torch
from dae.models.networks import ConvDecoder, ConvEncoder
from dae.training.machine import keep_freed_memory

keep_freed_memory()
for steps.BATCH, count in ((128, 40), (16, 100)):
    network = torch.nn.Sequential(ConvEncoder(), ConvDecoder()).to(memory_format=torch.channels_last)
    step = steps.make_step(network, torch.float32)
    seconds = []
    for _ in range(count + 8):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    print(1000 * statistics.median(seconds[8:]))
"""
BURN = "while True: pass"


def step_times(way: dict[str, str]) -> list[float]:
    """Milliseconds of a step with 128 images and with 16."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in (*SPIN, "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
    }
    command = [sys.executable, "-c", STEP]
    here = Path(__file__).parent
    done = subprocess.run(
        command, cwd=here, env={**environment, **way}, check=True, capture_output=True, text=True
    )
    return [float(line) for line in done.stdout.split()[-2:]]


@contextmanager
def burning(count: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    processes = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    for place, load in (("quiet", 0), (f"busy ({os.cpu_count()} processes beside it)", os.cpu_count() or 1)):
        found: dict[str, list[list[float]]] = {name: [] for name in WAYS}
        with burning(load):
            for _ in range(rounds):
                for name, way in WAYS.items():
                    found[name].append(step_times(way))
        print(f"{place}: ms a step of 128 and of 16 images, median ratio to the best of a round")
        for name, times in found.items():
            medians = [statistics.median(each) for each in zip(*times, strict=True)]
            ratios = [
                statistics.median(
                    mine[size] / min(other[round_][size] for other in found.values())
                    for round_, mine in enumerate(times)
                )
                for size in range(2)
            ]
            print(
                f"  {name:<22}",
                *(f"{ms:7.1f} ({ratio:.2f})" for ms, ratio in zip(medians, ratios, strict=True)),
            )


if __name__ == "__main__":
    main()
