"""The notebook in Keras, both stages; run by ``notebook.py`` with an interpreter that has TensorFlow.

    python tests/benchmarks/keras_notebook.py MNIST_ROOT EPOCHS

The last line that it prints is JSON: seconds of both fits, and what they reached.
"""

import gzip
import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers


def read(folder: Path, name: str) -> np.ndarray:
    """An idx file: images (N, 28, 28, 1) in [0, 1] or labels (N,)."""
    content = gzip.decompress((folder / name).read_bytes())
    if "images" in name:
        return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28, 1).astype("float32") / 255
    return np.frombuffer(content, np.uint8, offset=8)


def conv(filters: int, **options: str) -> layers.Conv2D:
    """A convolution of the notebook."""
    return layers.Conv2D(filters, 3, **{"activation": "relu", "padding": "same", **options})


def main() -> None:
    """Train and print."""
    folder, epochs = Path(sys.argv[1]) / "MNIST" / "raw", int(sys.argv[2])
    x_train, x_test = (read(folder, f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k"))
    y_train, y_test = (read(folder, f"{part}-labels-idx1-ubyte.gz") for part in ("train", "t10k"))

    def pool() -> layers.MaxPooling2D:
        return layers.MaxPooling2D(2, padding="same")

    encoder = keras.Sequential(
        [keras.Input((28, 28, 1)), conv(32), pool(), conv(16), pool(), conv(16), pool()]
    )
    decoder = keras.Sequential(
        [
            keras.Input((4, 4, 16)),
            conv(16),
            layers.UpSampling2D(2),
            conv(16),
            layers.UpSampling2D(2),
            conv(32, padding="valid"),
            layers.UpSampling2D(2),
            conv(1, activation="sigmoid"),
        ]
    )
    autoencoder = keras.Sequential([keras.Input((28, 28, 1)), layers.Dropout(0.2), encoder, decoder])
    autoencoder.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    options = {"epochs": epochs, "batch_size": 128, "verbose": 0}
    started = time.perf_counter()
    fitted = autoencoder.fit(x_train, x_train, validation_data=(x_test, x_test), **options)
    dae_seconds = time.perf_counter() - started

    for layer in encoder.layers[:-2]:
        layer.trainable = False
    classifier = keras.Sequential(
        [
            encoder,
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    classifier.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    started = time.perf_counter()
    classified = classifier.fit(x_train, y_train, validation_data=(x_test, y_test), **options)
    result = {
        "dae": dae_seconds,
        "classifier": time.perf_counter() - started,
        "val_loss": fitted.history["val_loss"][-1],
        "accuracy": classified.history["val_accuracy"][-1],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
