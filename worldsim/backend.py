"""What JAX needs of a process: compiled programs that are kept on disk, and no fork behind its back.

Programs are kept in ~/.cache/worldsim/programs, or in the folder of JAX_COMPILATION_CACHE_DIR;
JAX_ENABLE_COMPILATION_CACHE=false keeps none. JAX runs threads, and a forked child has none of them: the first program
that it runs waits for ever.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

_is_running = _is_forked = False  # whether JAX ran when this process forked last; whether it was forked so itself


def prepare() -> None:
    """Let this process compile and run programs.

    Raises:
        RuntimeError: it was forked from one that runs JAX.
    """
    if _is_forked:
        raise RuntimeError(
            "expected a process of its own for JAX, got one forked from a process that runs it already, where it would "
            'wait for ever; use vector_kwargs={"context": "spawn"} or start_method="spawn", or the batched model: '
            "gymnasium.make_vec without vectorization_mode."
        )
    _keep_programs()


@cache
def _keep_programs() -> None:
    import jax

    config: Any = jax.config
    if config.jax_compilation_cache_dir is not None or not config.jax_enable_compilation_cache:
        return
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "worldsim" / "programs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written to: programs live as long as the process
        return
    config.update("jax_compilation_cache_dir", str(folder))
    config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _before_fork() -> None:
    global _is_running
    bridge = sys.modules.get("jax._src.xla_bridge")
    _is_running = bridge is not None and bridge.backends_are_initialized()


def _after_fork() -> None:
    global _is_forked
    _is_forked = _is_forked or _is_running


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
