"""Where arrays live: one mesh of all devices, data parallel and fully sharded; one device is a mesh of one.

Batches are split over both axes. Matrices are split over "fsdp" along their last axis where it divides, everything else
is copied; XLA gathers what a layer needs when it needs it (GSPMD, Xu et al. 2021, arXiv 2105.04663).
"""

from __future__ import annotations

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

DATA, FSDP = "data", "fsdp"


def make_mesh(num_fsdp: int = 1) -> Mesh:
    """Lay all devices out as (data, fsdp).

    Raises:
        ValueError: `num_fsdp` does not divide the number of devices.
    """
    count = jax.device_count()
    if num_fsdp < 1 or count % num_fsdp:
        raise ValueError(f"expected a divisor of {count} devices for num_fsdp, got {num_fsdp}.")
    return jax.make_mesh((count // num_fsdp, num_fsdp), (DATA, FSDP), axis_types=(AxisType.Auto, AxisType.Auto))


def place_state(tree: PyTree, mesh: Mesh) -> PyTree:
    """Put parameters and what is shaped like them onto the mesh."""

    def sharding(leaf: PyTree) -> NamedSharding:
        splits = leaf.ndim == 2 and mesh.shape[FSDP] > 1 and leaf.shape[-1] % mesh.shape[FSDP] == 0
        return NamedSharding(mesh, PartitionSpec(None, FSDP) if splits else PartitionSpec())

    return jax.tree.map(lambda leaf: jax.device_put(leaf, sharding(leaf)), tree)


def place_batch(batch: PyTree, mesh: Mesh) -> PyTree:
    """Split a batch over all devices along its first axis.

    Raises:
        ValueError: the batch does not divide among the devices.
    """
    rows = {len(leaf) for leaf in jax.tree.leaves(batch)}
    if any(count % mesh.size for count in rows):
        raise ValueError(
            f"expected a multiple of {mesh.size} rows in a batch, for as many devices, got {sorted(rows)}."
        )
    return jax.device_put(batch, NamedSharding(mesh, PartitionSpec((DATA, FSDP))))
