"""What every test runs under: JAX on the processor, no silent rank promotion, warnings as errors (pyproject.toml).

The library is imported inside the fixtures, so that the type checks of jaxtyping are in place first.
"""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The same small programs are compiled again and again, by tests, workers and child processes: once is enough.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "programs"))
# Most of the time goes into compiling programs that run once. Without the optimizer of LLVM that takes a third, and
# without the emitters of fusions again a third of it (a training step: 65 -> 28 -> 9 CPU seconds). What a library
# computes would run faster too (--xla_cpu_experimental_ynn_fusion_type), but some of its sums are wrong. A program is
# compiled as one module and not as 32 at once: the workers of the suite keep the cores busy as it is.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_COMPILE --xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


LONGEST = ("train", "agent", "evaluate", "play", "model")


def pytest_collection_modifyitems(items):
    """Begin with the folders whose tests train, so that no worker is alone with them at the end."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.relative_to(Path(__file__).parent).parts[0], len(LONGEST)))


@pytest.fixture(scope="session")
def bar_folder(tmp_path_factory) -> Path:
    """Footage of the bar game, 16x16."""
    from tests.worlds import bar_footage

    return bar_footage(tmp_path_factory.mktemp("bar") / "footage").path


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """A folder of all workers of this run, for `tests.worlds.once`."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def trained_bar(shared_folder):
    """A world that has learned the bar game: trained by the first worker that wants it, read by the others."""
    from tests.worlds import TrainedBar, once, train_bar

    return TrainedBar.read(once(shared_folder / "trained_bar", train_bar))


@pytest.fixture(scope="session")
def toy_footage(tmp_path_factory):
    """300 frames of the toy game, recorded by one worker in one go."""
    from tests.data.footage_factory import TOY
    from worldsim.recording.record import record

    return record(TOY, tmp_path_factory.mktemp("toy") / "footage", num_frames=300, policy="random", seed=3)


@pytest.fixture(scope="session")
def untrained_world(tmp_path_factory) -> Path:
    """The bundle of a world of the bar game that has learned nothing."""
    from tests.worlds import change, random_world
    from worldsim.world import FootageSource, save_world

    path = tmp_path_factory.mktemp("world") / "bar"
    world = change(random_world(), footage=FootageSource(recorder={"seed": 1}))
    save_world(world, path)
    return path


@pytest.fixture
def somewhere_empty(tmp_path, monkeypatch):
    """Work in a folder of its own, where there are no worlds."""
    monkeypatch.chdir(tmp_path)
