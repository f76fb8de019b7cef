"""Random states that depend on what is done, never on what was done before it."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) that is the hash of ``parts``."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def seed_all(*parts: int | str) -> None:
    """Put torch (every device), numpy and random into the state of ``derive(*parts)``."""
    seed = derive_seed(*parts)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
