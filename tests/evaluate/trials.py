"""Trials of toy worlds on recorded columns, without a footage folder."""

import numpy as np

from worldsim.data.dataset import Columns
from worldsim.data.meta import FootageMeta
from worldsim.evaluate.options import EvalOptions
from worldsim.evaluate.reference import Reference
from worldsim.evaluate.trial import Trial


def trial(sim, columns: Columns, meta: FootageMeta | None = None, *, seed=0, horizon=16, reference=None, **options):
    """A trial; `reference` holds what else is recorded or fitted, or None for what cannot be fitted."""
    if meta is None:
        spec = sim.action_spec
        meta = FootageMeta(game="toy", title="Toy", size=sim.size, fps=10.0, action_spec=spec, objects={}, recorder={})
    fitted = dict(reference or {})
    fields = {name: fitted.pop(name) for name in list(fitted) if name in Reference.__dataclass_fields__}
    made = Reference(**{"meta": meta, "calibration": columns, "held_out": columns, **fields})
    vars(made).update(fitted)  # cached properties: targets, opposite_actions, inverse
    return Trial(sim=sim, reference=made, options=EvalOptions(**options), seed=seed, horizon=horizon)


def on_clip(sim, per_clip, clip, **options) -> Trial:
    """A trial that has one given clip instead of dreams."""
    made = trial(sim, Columns(clip.real[0], np.zeros((0, 1)), *[np.zeros(0)] * 2, None, np.zeros(2, int)), **options)
    made.cache[per_clip] = per_clip(made, clip)
    return made
