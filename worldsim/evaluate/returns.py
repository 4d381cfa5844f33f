"""Returns: does a dream pay what the game pays for the same actions?

The world sees CONTEXT recorded frames and dreams on for HORIZON more, or as many as episodes have, under the recorded
actions. The return is the sum of the rewards of a window: foretold ones in the dream, recorded ones in the game. No
window reaches past the end of its episode.

- `return_pearson`, `return_spearman`: correlation of both over windows, linear and of ranks; 1 = the dream tells good
  windows from bad ones, 0 = it does not, and so counts a dream that always pays the same.
- `return_dream`, `return_real`: means; `return_bias` their difference, the first minus the second.
- `return_absolute_error`, and `.._of_mean`: that of always saying the mean of the recorded returns.
- `num_return_windows`, `num_return_frames`: windows, and frames of each.

Correlations want LEAST windows and recorded returns that differ: else None, and the reason.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from worldsim import metrics
from worldsim.data.dataset import Columns
from worldsim.evaluate.dreams import CONTEXT, batches, draw_windows, dream_on
from worldsim.simulator import Simulator

HORIZON = 64
LEAST_HORIZON = 8
LEAST = 8


def measure_returns(
    sim: Simulator, columns: Columns, *, num_windows: int, seed: int, batch_size: int = 32
) -> dict[str, Any]:
    """Compare the returns of up to `num_windows` dreams with those that were recorded.

    Raises:
        ValueError: the world gives NaN.
    """
    if (longest := columns.longest) < CONTEXT + LEAST_HORIZON:
        return _nothing(f"no episode has {CONTEXT + LEAST_HORIZON} frames, the longest has {longest}")
    horizon = min(HORIZON, longest - CONTEXT)
    rows = draw_windows(columns, CONTEXT + horizon, num_windows, seed)
    dreamed = []
    for number, (ids, count) in enumerate(batches(rows, batch_size)):
        key, actions = jax.random.fold_in(jax.random.key(seed), number), columns.prev_action[ids]
        prompt = columns.obs[ids[:, :CONTEXT]]
        state, _ = sim.reset(key, prompt=prompt, prompt_actions=actions[:, :CONTEXT])
        _, out = dream_on(sim, state, actions[:, CONTEXT:])
        if out.reward is None:
            return _nothing("the world foretells no rewards")
        dreamed.append(np.asarray(out.reward, np.float64)[:count].sum(1))
    dream, real = np.concatenate(dreamed), columns.reward[rows[:, CONTEXT:]].astype(np.float64).sum(1)
    return {
        **_correlations(dream, real),
        "return_dream": float(dream.mean()),
        "return_real": float(real.mean()),
        "return_bias": float(dream.mean() - real.mean()),
        "return_absolute_error": float(np.abs(dream - real).mean()),
        "return_absolute_error_of_mean": float(np.abs(real.mean() - real).mean()),
        "num_return_windows": len(rows),
        "num_return_frames": horizon,
    }


def _correlations(dream: Float[np.ndarray, " n"], real: Float[np.ndarray, " n"]) -> dict[str, Any]:
    if len(real) < LEAST:
        return _nothing(f"a correlation wants {LEAST} windows, got {len(real)}")
    if np.ptp(real) == 0:
        return _nothing(f"all {len(real)} recorded returns are {real[0]:g}")
    if np.ptp(dream) == 0:
        return {"return_pearson": 0.0, "return_spearman": 0.0}
    return {"return_pearson": float(np.corrcoef(dream, real)[0, 1]), "return_spearman": metrics.spearman(dream, real)}


def _nothing(reason: str) -> dict[str, Any]:
    return {"return_pearson": None, "return_spearman": None, "return_reason": reason}
