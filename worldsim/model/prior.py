"""What the dynamics know of the next frame before they denoise it: the seam between copying, warping and the like.

The denoiser asks its prior to `look` at the past of a frame, once, to `draw` what enters it by chance where it is
dreamed, and then for a `Prior` of it; generation asks it to predict, correct, remember and render, and outcome heads
read its `summary` of the frame. `CopyLast` expects the frame before. `worldsim.model.forecast.ForecastPrior` expects
what a network makes of those before, `worldsim.model.camera.prior.WarpPrior` warps what a turning camera has seen.
Another prior is another module with the same methods, chosen by `worldsim.model.dynamics.denoiser.prior_type`.
"""

from __future__ import annotations

from typing import NamedTuple

from flax import nnx
from jaxtyping import Array, Float, Key, PyTree, UInt8

from worldsim.model.config import DynamicsConfig
from worldsim.model.tokenizer import Tokenizer
from worldsim.types import frame_to_obs


class Prior(NamedTuple):
    """An estimate of frames of latents, seen at a signal level, and how far from them the frames lie."""

    mean: Float[Array, "*b n c"]  # the estimate, at level `tau`
    tau: Float[Array, "*b 1 1"]  # 0 where there is none, 1 = clean
    variance: Float[Array, "..."]  # mean square distance, by channel `[c]` or by place `[*b n c]`
    features: tuple[Array, ...] = ()  # cells `[*b y x f]` that the local path reads beside the latents


class CopyLast(nnx.Module):
    """Expect the frame before: the prior of worlds without a camera. Has no parameters and no state."""

    def __init__(self, config: DynamicsConfig, *, rngs: nnx.Rngs):
        pass

    @staticmethod
    def num_features(config: DynamicsConfig) -> int:
        """Return how many channels `Prior.features` has together."""
        return 0

    @staticmethod
    def summary_dim(config: DynamicsConfig) -> int:
        """Return the width of the `summary` of a frame."""
        return 0

    def look(
        self,
        before: Float[Array, "*b k n c"],
        before_tau: Float[Array, "*b 1 1"],
        prev_action: Float[Array, "*b a"],
        inputs: PyTree,
    ) -> PyTree:
        """Return what `__call__` reads of frames, given those before them, latest first, and the `inputs` of `predict`.

        It does not depend on the noisy view, so it is found once for all denoising steps.
        """
        return inputs

    def draw(
        self,
        before: Float[Array, "b k n c"],
        before_tau: Float[Array, "b 1 1"],
        prev_action: Float[Array, "b a"],
        inputs: PyTree,
        keys: Key[Array, " b"],
    ) -> PyTree:
        """Return the `inputs` of `look` with what enters frames by chance drawn; here nothing does."""
        return inputs

    def summary(
        self,
        before: Float[Array, "*b k n c"],
        before_tau: Float[Array, "*b 1 1"],
        prev_action: Float[Array, "*b a"],
        inputs: PyTree,
    ) -> tuple[Float[Array, "*b d"], ...]:
        """Return what is known of frames as wholes beside their hidden state, given the `inputs` of `look`."""
        return ()

    def __call__(
        self, before: Float[Array, "*b k n c"], before_tau: Float[Array, "*b 1 1"], inputs: PyTree, change_var: Array
    ) -> Prior:
        """Return the prior of frames given the frames before them, latest first, and the `inputs` of `look`."""
        return Prior(before[..., 0, :, :], before_tau, change_var)

    def empty_state(self, batch: int) -> PyTree:
        """Return the state of streams that have seen nothing."""
        return ()

    def predict(self, tokenizer: Tokenizer, state: PyTree, prev_action: Float[Array, "b a"]) -> tuple[PyTree, PyTree]:
        """Predict the next frame from the state: its picture, and the `inputs` that the dynamics take of it."""
        return (), ()

    def shrink(self, z: Float[Array, "b n c"], state: PyTree, inputs: PyTree) -> Float[Array, "b n c"]:
        """Shrink small deviations of a generated frame from its prediction."""
        return z

    def update(
        self,
        tokenizer: Tokenizer,
        state: PyTree,
        z: Float[Array, "b n c"],
        prediction: tuple[PyTree, PyTree],
        prev_action: Float[Array, "b a"],
        count: Array,
        *,
        real: UInt8[Array, "b h w 3"] | None = None,
        knows_pitch: bool = False,
    ) -> PyTree:
        """Return the state after a frame: `real` where it was recorded, else what z and the prediction paint.

        `count` is the number of frames before it; `knows_pitch` keeps the heading of the state as it is.
        """
        return ()

    def render(self, tokenizer: Tokenizer, state: PyTree, z: Float[Array, "b n c"]) -> UInt8[Array, "b h w 3"]:
        """Render the frame that `update` saw last."""
        return frame_to_obs(tokenizer.decode(z))
