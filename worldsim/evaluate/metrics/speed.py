"""Speed: how fast does the world run here, decode to pixels included?

Each number is the median over repeats, with the spread (standard deviation) beside it as `_sd`. A step counts until its
picture is in the host's memory, as a player or an agent gets it. Compilation and the first steps are left out.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from worldsim.evaluate.metric import Metric, Numbers
from worldsim.evaluate.trial import Measurement
from worldsim.simulator import Simulator

WARM_UP = 3
FPS_1 = Metric("fps_batch_1", "higher", "frames a second, one world", digits=0, headline=13)
FPS = Metric("fps_batch_*", "higher", "frames a second, {} worlds", digits=0)
METRICS = (
    FPS_1,
    FPS,
    Metric("latency_p50_ms", "lower", "latency of a step, median", unit="ms", digits=1),
    Metric("latency_p95_ms", "lower", "latency of a step, 95 of 100", unit="ms", digits=1),
    Metric("compute_seconds_per_video_minute", "lower", "compute-seconds a minute of video", perfect=60.0),
)


def bench(
    sim: Simulator,
    *,
    batch_size: int = 32,
    num_repeats: int = 5,
    seconds_per_repeat: float = 2.0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Numbers:
    """Measure frames a second at batch 1 and at `batch_size`, and the latency of single steps.

    A repeat takes at least two steps; `on_progress` is called with repeats done and all repeats.

    Returns:
        `fps_batch_1` and `fps_batch_{batch_size}` in frames a second, all worlds together; `latency_p50_ms` and
        `latency_p95_ms` of a step at batch 1; `compute_seconds_per_video_minute` at the game's own pace, batch 1;
        `realtime_factor`, fps over that pace; and the machine.
    """
    if batch_size < 1 or num_repeats < 1 or seconds_per_repeat <= 0:
        raise ValueError(
            f"expected a batch, repeats and seconds above 0, got {batch_size}, {num_repeats}, {seconds_per_repeat}."
        )
    total = 2 * num_repeats if batch_size > 1 else num_repeats
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, total)

    single = _time_steps(sim, 1, num_repeats, seconds_per_repeat, tick)
    result = _rates("fps_batch_1", single, 1)
    steps_ms = np.concatenate(single) * 1e3
    for name, share in (("latency_p50_ms", 50), ("latency_p95_ms", 95)):
        result[name] = float(np.percentile(steps_ms, share))
        result[f"{name}_sd"] = float(np.std([np.percentile(repeat * 1e3, share) for repeat in single]))
    if batch_size > 1:
        result |= _rates(
            f"fps_batch_{batch_size}", _time_steps(sim, batch_size, num_repeats, seconds_per_repeat, tick), batch_size
        )
    result["compute_seconds_per_video_minute"] = 60 * sim.fps / result["fps_batch_1"]
    result["realtime_factor"] = result["fps_batch_1"] / sim.fps
    result["num_denoise_steps"] = sim.sampler.num_denoise_steps
    return result | hardware()


def hardware() -> Numbers:
    """Name the machine: processor, cores that this process may use, jax, backend and device."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    device = jax.devices()[0].device_kind
    return {
        "hardware": f"{_processor()}, {cores} cores" + ("" if jax.default_backend() == "cpu" else f", {device}"),
        "cores": cores,
        "backend": jax.default_backend(),
        "jax": jax.__version__,
        "python": platform.python_version(),
    }


def _time_steps(sim: Simulator, batch: int, repeats: int, seconds: float, tick: Callable[[], None]) -> list[np.ndarray]:
    """Seconds of every step, one array a repeat."""
    state, _ = sim.reset(jax.random.key(0), batch_size=batch)
    rng = np.random.default_rng(0)
    action = jnp.asarray(sim.action_spec.sample(rng, (batch,)))
    for _ in range(WARM_UP):
        state, out = sim.step(state, action)
        np.asarray(out.obs)
    times = []
    for _ in range(repeats):
        steps, end = [], time.perf_counter() + seconds
        while len(steps) < 2 or time.perf_counter() < end:
            action = jnp.asarray(sim.action_spec.sample(rng, (batch,)))
            start = time.perf_counter()
            state, out = sim.step(state, action)
            np.asarray(out.obs)
            steps.append(time.perf_counter() - start)
        times.append(np.array(steps))
        tick()
    return times


def _rates(name: str, times: list[np.ndarray], batch: int) -> Numbers:
    rates = [batch * len(repeat) / repeat.sum() for repeat in times]
    return {name: float(np.median(rates)), f"{name}_sd": float(np.std(rates))}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown processor"


MEASUREMENT = Measurement(
    section="speed",
    metrics=METRICS,
    measure=lambda trial: bench(trial.sim),
    applies=lambda reference, options: False,  # apart, so that nothing else runs
)
