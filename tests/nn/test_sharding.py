"""Training on a mesh of four devices, in a process of its own, equals training on one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from worldsim.nn.sharding import make_mesh, place_batch

PROGRAM = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from tests.worlds import RECIPE, SIZE, SPEC
from flax import nnx
from worldsim.nn.params import split
from worldsim.nn.sharding import make_mesh, place_batch, place_state
from worldsim.train.games import fill_recipe
from worldsim.train.losses import TrainBatch, dynamics_loss
from worldsim.train.optimizer import init_state, is_kernel, make_step, muon
from worldsim.train.stages.dynamics import new_dynamics
from worldsim.types import Batch
mesh = make_mesh(int(sys.argv[1]))
(dg, dp), (og, op) = (split(m) for m in new_dynamics(fill_recipe(RECIPE, SIZE, SPEC), 0))
state = place_state(init_state({"dynamics": dp, "outcome": op}), mesh)
step = make_step(dynamics_loss((dg, og), RECIPE), muon(), ema=0.9, decay=is_kernel)
rng = np.random.default_rng(0)
z = rng.normal(size=(8, 6, 4, 16)).astype(np.float32)
none = np.zeros((8, 6), np.float32)
batch = TrainBatch(Batch(z, none[..., None], none, none > 0, none == 0))
losses = []
for i in range(3):
    state, scalars = step(state, place_batch(batch, mesh), jax.random.key(i), jnp.float32(0.02), bootstrap=True)
    losses.append(float(scalars["loss"]))
kernel = state.params["dynamics"]["layers"]["0"]["feed_forward"]["up"]["kernel"]
share = kernel.addressable_shards[0].data.size / kernel.size
print(json.dumps({"devices": jax.device_count(), "losses": losses, "share": share}))
"""


def train(num_devices: int, num_fsdp: int) -> dict:
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={num_devices}"
    env = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    out = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(num_fsdp)], env=env, capture_output=True, text=True, check=True, timeout=300
    )
    return json.loads(out.stdout.splitlines()[-1])


def test_a_mesh_of_four_learns_what_one_device_learns():
    one, four = train(1, 1), train(4, 2)
    assert (one["devices"], four["devices"]) == (1, 4)
    assert (one["share"], four["share"]) == (1.0, 0.5)
    np.testing.assert_allclose(four["losses"], one["losses"], rtol=2e-3)


def test_meshes_and_batches_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="divisor of 1"):
        make_mesh(3)
    mesh = make_mesh()
    np.testing.assert_array_equal(place_batch(np.arange(5), mesh), np.arange(5))
