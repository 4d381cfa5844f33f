"""The state of a training run on disk, so that a run goes on as if it had never stopped.

Saving is Orbax's (https://orbax.readthedocs.io): it copies the arrays, goes on in the background, and a step
counts only when its folder got its final name. A kill at any moment therefore leaves the last good step.

What comes back is what was saved, bit for bit. Keys of `jax.random` go in as `jax.random.key_data` (uint32).

Orbax works in event loops of the thread that calls it, and an interrupt in one of them leaves its other threads waiting
for ever. So it is called in a thread of its own, where Python raises no interrupts, and the caller hears of them after.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import jax
import numpy as np
from jaxtyping import PyTree

if TYPE_CHECKING:
    from orbax.checkpoint import CheckpointManager

META_SPEC = "_spec"

T = TypeVar("T")


def open_training(path: str | os.PathLike) -> CheckpointManager:
    """Open, or begin, the training state in a folder; leftovers of a killed save are removed.

    Returns:
        An `orbax.checkpoint.CheckpointManager` that keeps the last two steps. End with `close_training`.
    """
    import absl.logging  # Orbax takes seconds to import, and only training needs it
    import orbax.checkpoint as ocp

    absl.logging.set_verbosity(absl.logging.FATAL)  # its errors are raised; a log of an interrupt is a traceback
    options = ocp.CheckpointManagerOptions(
        max_to_keep=2, cleanup_tmp_directories=True, enable_async_checkpointing=True, create=True
    )
    return _undisturbed(lambda: ocp.CheckpointManager(Path(path).absolute(), options=options))


def close_training(manager: CheckpointManager) -> None:
    """Wait for the last save, and close what `open_training` opened."""
    _undisturbed(manager.close)


def save_training(manager: CheckpointManager, step: int, tree: PyTree, meta: dict | None = None) -> bool:
    """Save a step in the background; the arrays may change or be donated once this returns.

    Args:
        manager: from `open_training`.
        step: number of the training step; must grow.
        tree: any pytree of arrays and Python numbers: parameters, optimizer, moving average, keys.
        meta: what fits into JSON: the configuration, the seconds trained so far.

    Returns:
        False where that very step is saved already.

    Raises:
        ValueError: a later step is saved already.
    """
    import orbax.checkpoint as ocp

    latest = manager.latest_step()
    if latest is not None and step <= latest:
        if step < latest:
            raise ValueError(f"expected a step above {latest}, the last one saved in {manager.directory}, got {step}.")
        return False
    saved = {
        "tree": ocp.args.StandardSave(_leaves(tree)),
        "meta": ocp.args.JsonSave({**(meta or {}), META_SPEC: _spec(tree)}),
    }
    return bool(_undisturbed(lambda: manager.save(step, args=ocp.args.Composite(**saved), force=True)))


def restore_training(manager: CheckpointManager, like: PyTree) -> tuple[int, PyTree, dict] | None:
    """Restore the last good step.

    Args:
        manager: from `open_training`.
        like: a tree of the shapes, dtypes and shardings to be; its values do not matter.

    Returns:
        (step, tree, meta) as saved, or None where nothing was saved yet.

    Raises:
        ValueError: what was saved has other arrays than `like`.
    """
    import orbax.checkpoint as ocp

    _undisturbed(manager.wait_until_finished)
    step = manager.latest_step()
    if step is None:
        return None
    meta = _undisturbed(lambda: manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())))["meta"]
    saved, wanted = meta.pop(META_SPEC), _spec(like)
    if differ := [name for name in sorted(saved.keys() | wanted.keys()) if saved.get(name) != wanted.get(name)]:
        name = differ[0]
        raise ValueError(
            f"training state in {manager.directory} is of another configuration: {len(differ)} arrays differ, "
            f"first {name}: saved {saved.get(name, 'nothing')}, wanted {wanted.get(name, 'nothing')}. "
            "Resume with the saved configuration, or begin in another folder."
        )
    args = ocp.args.Composite(tree=ocp.args.StandardRestore(_leaves(like)))
    leaves = _undisturbed(lambda: manager.restore(step, args=args))["tree"]
    return step, jax.tree.unflatten(jax.tree.structure(like), [leaves[name] for name in sorted(leaves)]), meta


def _undisturbed(work: Callable[[], T]) -> T:
    """Run work to its end; an interrupt of the caller is raised after it."""
    thread = _orbax_thread()
    try:
        return thread.submit(work).result()
    finally:
        thread.submit(int).result()  # one after the other: it is done when that is, wherever an interrupt came


@lru_cache
def _orbax_thread() -> ThreadPoolExecutor:
    thread = ThreadPoolExecutor(1)
    thread.submit(int).result()  # an interrupt while a thread begins makes a second one begin
    return thread


def _leaves(tree: PyTree) -> dict[str, PyTree]:
    """Number the leaves, so that any pytree can be saved; host arrays are copied, since their owner may write on."""
    leaves = [np.array(x) if isinstance(x, np.ndarray | np.generic) else x for x in jax.tree.leaves(tree)]
    return {f"{i:06d}": leaf for i, leaf in enumerate(leaves)}


def _spec(tree: PyTree) -> dict[str, str]:
    """Name every leaf with its dtype and shape: what must agree between a run and its state."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): _kind(leaf) for path, leaf in leaves}


def _kind(leaf: PyTree) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}" if hasattr(leaf, "dtype") else type(leaf).__name__
