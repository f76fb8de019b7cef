"""The notebook in PyTorch as most write it: ToTensor, DataLoader, NCHW, a loop; run by ``notebook.py``.

    python tests/benchmarks/plain_pytorch.py MNIST_ROOT EPOCHS

The last line that it prints is JSON: seconds of both fits, and what they reached.
"""

import json
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

Measure = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def fit(
    model: nn.Module, measure: Measure, loaders: tuple[DataLoader, DataLoader], epochs: int
) -> list[float]:
    """Train, validate after each epoch; mean loss and mean hits of the last validation."""
    train, test = loaders
    optimizer = torch.optim.Adam(parameter for parameter in model.parameters() if parameter.requires_grad)
    totals = [0.0, 0.0]
    for _ in range(epochs):
        model.train()
        for images, labels in train:
            loss, _ = measure(images, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        totals = [0.0, 0.0]
        with torch.no_grad():
            for images, labels in test:
                for position, value in enumerate(measure(images, labels)):
                    totals[position] += value.item() * len(labels) / 10_000
    return totals


def main() -> None:
    """Train and print."""
    root, epochs = sys.argv[1], int(sys.argv[2])
    loaders = (
        DataLoader(
            MNIST(root, train=True, download=True, transform=ToTensor()), batch_size=128, shuffle=True
        ),
        DataLoader(MNIST(root, train=False, transform=ToTensor()), batch_size=128),
    )

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]

    def up(inputs: int, outputs: int, padding: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=padding), nn.ReLU(), nn.Upsample(scale_factor=2)]

    encoder = nn.Sequential(*block(1, 32), *block(32, 16), *block(16, 16))
    decoder = nn.Sequential(
        *up(16, 16), *up(16, 16), *up(16, 32, 0), nn.Conv2d(32, 1, 3, padding=1), nn.Sigmoid()
    )
    autoencoder = nn.Sequential(nn.Dropout(0.2), encoder, decoder)
    classifier = nn.Sequential(encoder, nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10))

    def reconstruct(images: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        outputs = autoencoder(images)
        return functional.binary_cross_entropy(outputs, images), (outputs.round() == images).float().mean()

    def classify(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = classifier(images)
        return functional.cross_entropy(logits, labels), (logits.argmax(1) == labels).float().mean()

    started = time.perf_counter()
    val_loss, _ = fit(autoencoder, reconstruct, loaders, epochs)
    dae_seconds = time.perf_counter() - started
    encoder[:6].requires_grad_(False)
    started = time.perf_counter()
    _, accuracy = fit(classifier, classify, loaders, epochs)
    seconds = {"dae": dae_seconds, "classifier": time.perf_counter() - started}
    print(json.dumps({**seconds, "val_loss": val_loss, "accuracy": accuracy}))


if __name__ == "__main__":
    main()
