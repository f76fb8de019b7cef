"""Denoising pretraining, measured: a DAE, then a classifier on its frozen encoder.

A trained model is used by ``dae.load_autoencoder``, ``dae.load_encoder`` and ``dae.load_classifier``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dae.use.models import load_autoencoder as load_autoencoder
    from dae.use.models import load_classifier as load_classifier
    from dae.use.models import load_encoder as load_encoder

__version__ = "0.1.0"

_LOADERS = ("load_autoencoder", "load_classifier", "load_encoder")


def __getattr__(name: str) -> Any:
    if name not in _LOADERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dae.use import models  # torch: seconds, which ``import dae`` alone need not take

    return getattr(models, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LOADERS])
