"""Dreams of the shipped worlds stay what they are: 32 frames each, of `minecraft` 10.

Where a sharp picture is sampled from itself another rounding grows, by ten frames to a grey level, by 32 to many.
"""

from pathlib import Path

import jax
import numpy as np
import pytest

GOLDENS = Path(__file__).parent / "goldens" / "dreams.npz"


@pytest.mark.parametrize("name", ["snake", "jump", "pong", "minecraft"])
def test_a_shipped_world_dreams_the_recorded_frames(name):
    """Bit for bit where they were recorded; another processor may round otherwise, by a grey level here and there."""
    import worldsim
    from worldsim.initial import InitialContext

    sim = worldsim.load(name)
    contexts = {key: x[:2] for key, x in sim.world.initial_contexts.items()}
    initial = InitialContext.frames(contexts["obs"], contexts["prev_action"])
    state, _ = sim.reset(jax.random.key(0), initial=initial)
    actions = sim.action_spec.sample(np.random.default_rng(0), (2, 32))
    kept = np.load(GOLDENS)[name].astype(int)
    obs = np.asarray(sim.rollout(state, actions)[1].obs)[:1, : kept.shape[1]]  # two worlds dreamed, one is kept
    difference = np.abs(obs - kept)
    assert (difference <= 2).mean() > 0.99 and difference.mean() < 0.5, (
        f"{(difference > 0).mean():.2%} of values differ"
    )
