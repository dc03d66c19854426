"""Random numbers for privacy: from the operating system's entropy, through ChaCha20 (RFC 8439), never a global seed.

Who could tell the noise could take it off. A normal number here is (n1 + n2 + n3 + n4) / 2 of four independent ones,
each the quantile of 52 random bits: from the sum nobody computes back which floating-point numbers were possible
(Holohan and Braghin 2021, https://arxiv.org/abs/2107.10138, section 4; the attack is Mironov's of 2012).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NoiseSource = Callable[[int], Floats]
"""Gives so many independent numbers (n,)."""
_PIECE: Final = 2**16
"""Numbers that are made together, so that their bits stay in the processor's cache."""


@dataclass(frozen=True)
class Entropy:
    """Where the random numbers of a private round come from; normal: N(0, 1), uniform: in (0, 1)."""

    normal: NoiseSource
    uniform: NoiseSource


def secure_uniform(size: int) -> Floats:
    """Return (size,) numbers in (0, 1), each the middle of one of 2^52 equal parts."""
    key, nonce = os.urandom(32), os.urandom(16)
    stream = Cipher(algorithms.ChaCha20(key, nonce), mode=None).encryptor()
    bits = np.frombuffer(stream.update(bytes(8 * size)), dtype=np.uint64) >> np.uint64(12)
    return (bits.astype(np.float64) + 0.5) * 2.0**-52


def secure_normal(size: int) -> Floats:
    """Return (size,) independent numbers from N(0, 1)."""
    from scipy.special import ndtri

    found = np.empty(size)
    for start in range(0, size, _PIECE):
        piece = found[start : start + _PIECE]
        piece[...] = ndtri(secure_uniform(4 * piece.size)).reshape(4, -1).sum(axis=0) / 2
    return found


def of_generator(rng: np.random.Generator) -> Entropy:
    """Return numbers that can be told from a seed: for tests, and for nothing that protects anybody."""
    return Entropy(normal=lambda size: rng.standard_normal(size), uniform=lambda size: rng.random(size))


SECURE: Final = Entropy(secure_normal, secure_uniform)
