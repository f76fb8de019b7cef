"""One training step of stage 1 in each form of the network, against the arithmetic floor of this machine.

    python tests/benchmarks/steps.py [--rounds 5] [--json steps.json]

The floor is the time that a step's multiplications take at the speed of a 4096 x 4096 matrix product,
measured in the same run. The forms take turns, so that a machine whose speed drifts treats them alike; each
figure is the median over all rounds. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dae.models.epoch_metrics import binary_cross_entropy
from dae.models.networks import ConvBlock, ConvDecoder, ConvEncoder
from dae.models.noise import Dropout
from dae.runs.record import device_name
from dae.training.machine import keep_freed_memory
from dae.training.trainer import best_precision

BATCH = 128
STEPS = 20  # a round and form, after three that are not counted


class Plain(nn.Module):
    """The network as the notebook writes it: convolution, ReLU, pool; upsample, convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = ConvEncoder(), ConvDecoder()

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        outputs = images
        for block in self.encoder.blocks:
            assert isinstance(block, ConvBlock)
            outputs = F.max_pool2d(F.relu(block.conv(outputs)), 2, ceil_mode=True)
        first, *others = self.decoder.convs
        outputs = first(outputs)
        for conv in others:
            assert isinstance(conv, nn.Conv2d)
            outputs = F.interpolate(F.relu(outputs), scale_factor=2.0)
            outputs = F.conv2d(outputs, conv.weight, conv.bias, padding=conv.padding)
        return outputs


def multiplications() -> int:
    """Multiply-adds of a plain training step: forward, and backward by the inputs and by the weights."""
    # Output side, input and output channels of each convolution; the first one's input needs no gradient.
    convs = [(28, 1, 32), (14, 32, 16), (7, 16, 16), (4, 16, 16), (8, 16, 16), (14, 16, 32), (28, 32, 1)]
    forward = [BATCH * side**2 * inputs * outputs * 9 for side, inputs, outputs in convs]
    return 3 * sum(forward) - forward[0]


def make_step(network: nn.Module, precision: torch.dtype) -> Callable[[], None]:
    """A step as stage 1 takes it: noise, forward, loss, backward, Adam; the plain network has plain ones."""
    images = torch.rand(BATCH, 1, 28, 28)
    noise = Dropout(0.2)
    plain = isinstance(network, Plain)
    cross_entropy = F.binary_cross_entropy_with_logits if plain else binary_cross_entropy
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=not plain)

    def step() -> None:
        with torch.autocast("cpu", precision, enabled=precision is not torch.float32):
            logits = network(noise(images))
        cross_entropy(logits.float(), images).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def milliseconds(action: Callable[[], object], count: int) -> list[float]:
    """How long each of ``count`` calls takes."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - started))
    return times


def floor(precision: torch.dtype, operations: int) -> float:
    """Milliseconds that so many multiply-adds take in a large matrix product."""
    matrix = torch.rand(4096, 4096).to(precision)
    return min(milliseconds(lambda: matrix @ matrix, 3)) * operations / 4096**3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)

    ours = nn.Sequential(ConvEncoder(), ConvDecoder())
    forms = {
        "plain, NCHW, float32": (Plain().to(memory_format=torch.contiguous_format), torch.float32),
        "plain, channels last, float32": (Plain(), torch.float32),
        "ours, float32": (ours, torch.float32),
    }
    if best_precision("cpu") == "bf16-mixed":
        forms["ours, bf16-mixed"] = (ours, torch.bfloat16)
    else:  # emulated, a step would take ten times as long
        print("bf16-mixed is left out: this processor does not compute in it")
    operations = multiplications()
    steps = {name: make_step(module, kind) for name, (module, kind) in forms.items()}
    times: dict[str, list[float]] = {name: [] for name in forms}
    floors: dict[torch.dtype, list[float]] = {kind: [] for _, kind in forms.values()}
    for _ in range(options.rounds):
        for kind, found in floors.items():
            found.append(floor(kind, operations))
        for name, step in steps.items():
            milliseconds(step, 3)
            times[name] += milliseconds(step, STEPS)

    result = {
        "device": device_name(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "forms": {},
    }
    print(f"{result['device']}, torch {torch.__version__}, {result['threads']} threads, batch {BATCH}")
    print(f"{'form':32}{'ms a step':>12}{'floor':>8}{'ratio':>8}")
    for name, (_, kind) in forms.items():
        least = statistics.median(floors[kind])
        middle = statistics.median(times[name])
        result["forms"][name] = {"ms": middle, "floor_ms": least, "ratio": middle / least}  # type: ignore[index]
        print(f"{name:32}{middle:12.1f}{least:8.1f}{middle / least:8.2f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
