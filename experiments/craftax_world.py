"""A world of Craftax-Classic from 500,000 transitions of 63x63 pixels, in ten minutes of one accelerator.

    pip install matplotlib && pip install --no-deps craftax==1.6.1   # not pygame: it clashes with vizdoom's pygame-ce
    python experiments/craftax_world.py --out runs/craftax --minutes 4 --slice 9.5           # ten minutes of a device
    python experiments/craftax_world.py --out runs/craftax --minutes 4 --slice 9.5 --resume  # the next ten, if need be
    python experiments/craftax_world.py --out runs/tiny --transitions 2000 --minutes 1 --windows 8 --num-envs 8  # a CPU

The terms are those of the smallest public world of this game, tinywmcraft (a 14 M model, one A100, 10 minutes of
training; its footage is given, its evaluation of 2 minutes not counted), which in its first two iterations reports over
frames 1 to 16 a Frechet distance of 13 to 16e-4, action following .91 to .93, reward AP .92 to .95 and done AP .04 to
.055, from 2048 windows. Here recording, compilation and evaluation count too. Of 600 s, 240 are for training with its
compilation, 90 for the recording, 150 for what fit does around the training (reading, coding the frames, choosing the
steps) and 120 for the evaluation: estimates until an accelerator has run it; "seconds" in the result has what they
were, all slices together, without the imports. After `--slice` minutes, or where it is asked to end, it stops at the
next sign of progress: a training saves itself, a recording that is not whole is lost. `--resume` keeps what is finished
and goes on with the rest. Compiled programs are kept in OUT too, so that a later slice does not compile them again.

Two cores without an accelerator: the tiny run takes 160 s (recording 29, training 110, evaluation 21); 100,000
transitions are played and written in 54 s, 26 of them compilation, and read at 35,000 frames a second. The `small`
world has 6.8 M parameters. By reckoning 500,000 transitions take 1.1 GB on the disk and 40 GB of memory with latents.

Its footage, tinywmcraft's, is of trained agents of several skills; ours, until there is one, is of random play: at
each step, with a chance of 1 in 4, the action is drawn anew (moves .15 each, do .2, the other twelve .2 together),
else it is held. So the numbers are on the same terms, but not on the same frames, and random play sees less of the
game. A tenth of the transitions is held out and measured on. An episode is terminated by death alone, and truncated
at the game's 10,000 steps and at the end of the recording.

Writes experiments/results/craftax.json after 500,000 transitions or more, else OUT/craftax.json. What one core of two
came to in half an hour, with a fifth of the transitions, stands in experiments/results/craftax_cpu.json: following .57,
reward AP .88, termination AP 1 (a dead player's health is seen in the picture). Its world is poor: 16 free frames have
17.6 dB and copying the last one 21.2; of 256 windows the Frechet distance says little, real against real has .049.

    python experiments/craftax_world.py --out runs/craftax-cpu --transitions 100000 --minutes 20 --windows 256 --seeds 3
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from streams import StreamCutter, StreamRows

import worldsim
from worldsim.cli.console import Counter, StageBars
from worldsim.controls import ActionSpec, discrete
from worldsim.data.meta import FootageMeta
from worldsim.data.store import Footage, FootageWriter
from worldsim.evaluate import EvalOptions, evaluate
from worldsim.evaluate.run import write_json
from worldsim.world import World, load_world

RESULTS = Path(__file__).parent / "results" / "craftax.json"
REAL_TRANSITIONS = 500_000
PUBLISHED = {
    "name": "tinywmcraft, iterations 1 and 2, 6 seeds",
    "gfvd_16": [13e-4, 16e-4],
    "action_following": [0.91, 0.93],
    "reward_ap": [0.92, 0.95],
    "termination_ap": [0.04, 0.055],
}
CHUNK = 32  # steps of all streams between copies to the host
HOLD = 0.75  # chance to hold the action
POLICY = "random, held 4 steps"
CHANCES = np.array([0.2 / 12] + [0.15] * 4 + [0.2] + [0.2 / 12] * 11)  # of the 17 actions, in their order
KEYS = (
    "KeyQ",
    "KeyA",
    "KeyD",
    "KeyW",
    "KeyS",
    "Space",
    "Tab",
    "KeyR",
    "KeyT",
    "KeyF",
    "KeyP",
    "Digit1",
    "Digit2",
    "Digit3",
    "Digit4",
    "Digit5",
    "Digit6",
)


class Streams(NamedTuple):
    """Games side by side, between two steps."""

    state: Any  # the games' own, one entry a stream
    action: Any  # int32 [n], what is held
    ended: Any  # bool [n], whether the last row was an end


def play_chunks(num_streams: int, seed: int) -> Iterator[StreamRows]:
    """Play without end, CHUNK rows of all streams at a time; while they are copied the next ones are being played."""
    from craftax.craftax_classic.world_gen import generate_world
    from craftax.craftax_env import make_craftax_env_from_name

    env = make_craftax_env_from_name("Craftax-Classic-Pixels-v1", auto_reset=False)
    params, key = env.default_params, jax.random.key(seed)
    generate = jax.jit(jax.vmap(lambda key: generate_world(key, params, env.static_env_params)))
    advance = jax.jit(lambda streams, fresh, key: _advance(env, params, streams, fresh, key))
    state = generate(jax.random.split(key, num_streams))
    streams = Streams(state, jnp.zeros(num_streams, jnp.int32), jnp.ones(num_streams, bool))
    waiting = None
    for number in range(2**31 - 1):
        key_worlds, key_play = jax.random.split(jax.random.fold_in(key, number))
        fresh = generate(jax.random.split(key_worlds, num_streams))
        streams, rows = advance(streams, fresh, key_play)
        if waiting is not None:
            yield StreamRows(*map(np.asarray, waiting))
        waiting = rows


def _advance(env, params, streams: Streams, fresh, key) -> tuple[Streams, StreamRows]:
    """Play CHUNK rows; a stream that ends goes on in its fresh world in the next row, once a chunk, else it waits."""
    from craftax.craftax_classic.game_logic import craftax_step, is_game_over

    endless = params.replace(max_timesteps=2**30)
    step = jax.vmap(lambda key, state, action: craftax_step(key, state, action, params, env.static_env_params))
    count = len(streams.action)

    def row(carry, key):
        streams, has_fresh = carry
        key_hold, key_choice, key_step = jax.random.split(key, 3)
        drawn = jax.random.choice(key_choice, len(CHANCES), (count,), p=jnp.asarray(CHANCES))
        action = jnp.where(jax.random.bernoulli(key_hold, HOLD, (count,)), streams.action, drawn.astype(jnp.int32))
        played, reward = step(jax.random.split(key_step, count), streams.state, action)
        begins = streams.ended & has_fresh
        state = _select(begins, fresh, _select(streams.ended, streams.state, played))
        dead = jax.vmap(lambda state: is_game_over(state, endless))(state)
        terminated = jnp.where(streams.ended, ~begins, dead)
        truncated = ~streams.ended & ~dead & (state.timestep >= params.max_timesteps)
        pixels = jnp.round(255 * jax.vmap(env.get_obs)(state)).astype(jnp.uint8)
        out = StreamRows(pixels, action[:, None].astype(jnp.float32), reward, terminated, truncated)
        return (Streams(state, action, terminated | truncated), has_fresh & ~begins), out

    (streams, _), rows = jax.lax.scan(row, (streams, jnp.ones(count, bool)), jax.random.split(key, CHUNK))
    return streams, rows


def _select(mask, one, other):
    """Take the streams `[n]` of one tree where the mask is on, else of the other."""
    return jax.tree.map(lambda x, y: jnp.where(mask.reshape(-1, *[1] * (x.ndim - 1)), x, y), one, other)


def action_spec() -> ActionSpec:
    """The game's 17 actions under its own names."""
    from craftax.craftax_classic.constants import Action

    return discrete(tuple(action.name.lower() for action in Action), tuple((key,) for key in KEYS))


class Slice:
    """Ends the run at the next sign of progress after its minutes are over, or after it was asked to end.

    Not at once: between two steps of training, where its state can be saved.
    """

    def __init__(self, minutes: float | None):
        self.end = math.inf if minutes is None else time.monotonic() + 60 * minutes
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, *_: object) -> None:
        """End the slice now, as a signal asks."""
        self.end = -math.inf

    def watch(self, show: Callable[..., None]) -> Callable[..., None]:
        """Show progress, then raise KeyboardInterrupt where the slice is over."""

        def on_progress(*args: Any) -> None:
            show(*args)
            if time.monotonic() > self.end:
                raise KeyboardInterrupt

        return on_progress


def record(out: Path, num_transitions: int, num_streams: int, num_threads: int, seed: int, part: Slice) -> Footage:
    """Record at least so many transitions, a chunk more at most; footage that is there and whole is kept."""
    recorder = {
        "policy": POLICY,
        "seed": seed,
        "num_streams": num_streams,
        "package": "craftax",
        "native_size": [63, 63],
    }
    meta = FootageMeta(
        game="craftax-classic",
        title="Craftax-Classic",
        size=(63, 63),
        fps=10.0,
        action_spec=action_spec(),
        objects={},
        recorder=recorder,
        licence="MIT",
        assets_licence="MIT",
        prompts=("craftax", "2d minecraft"),
    )
    if (out / "footage.json").is_file():
        footage = Footage.open(out)
        footage.meta.check_same_world(meta)
        if footage.num_frames - len(footage) >= num_transitions:
            return footage
        shutil.rmtree(out)  # the games' state is lost; the same seed plays the same again
    cutter = StreamCutter(num_streams)
    with (
        closing(Counter("transitions")) as on_progress,
        FootageWriter(out, meta) as writer,
        ThreadPoolExecutor(num_threads) as pool,
    ):
        writing = []
        for rows in play_chunks(num_streams, seed):
            writing += [pool.submit(writer.write, episode) for episode in cutter.push(rows)]
            part.watch(on_progress)(min(cutter.num_steps, num_transitions), num_transitions)
            if cutter.num_steps >= num_transitions:
                break
        writing += [pool.submit(writer.write, episode) for episode in cutter.rest()]
        for written in writing:  # in the order in which they ended, however many threads
            writer.commit(*written.result(), seed=seed, policy=POLICY)
    return Footage.open(out)


def train(footage: Footage, run: Path, preset: str, minutes: float, seed: int, part: Slice) -> World:
    """Train, or go on, or take the world that is finished."""
    if (run / "world" / "card.json").is_file():
        return load_world(run / "world")
    with closing(StageBars()) as on_progress:
        return worldsim.fit(
            [footage.path],
            run,
            preset=preset,
            minutes=minutes,
            seed=seed,
            name="craftax",
            resume=(run / "run.json").is_file(),
            on_progress=part.watch(on_progress),
        )


def measure(
    world: World, footage: Footage, num_windows: int, seeds: int, batch_size: int, part: Slice
) -> dict[str, Any]:
    """Ask the four questions of the benchmark, and what comes with them."""
    with closing(Counter("measurements")) as on_progress:
        options = EvalOptions(
            num_windows=num_windows, seeds=tuple(range(seeds)), quick=True, with_objects=False, batch_size=batch_size
        )
        sim = worldsim.Simulator.from_world(world)
        return evaluate(sim, footage, options, on_progress=part.watch(on_progress))


@contextmanager
def clock(file: Path, part: str) -> Iterator[None]:
    """Add the wall time of a part to a file, so that slices add up."""
    start = time.monotonic()
    try:
        yield
    finally:
        seconds = read_seconds(file)
        seconds[part] = round(seconds.get(part, 0.0) + time.monotonic() - start, 1)
        write_json(seconds, file)


def read_seconds(file: Path) -> dict[str, float]:
    return json.loads(file.read_text()) if file.is_file() else {}


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """The four numbers that the benchmark has, with their spread where there are several evaluation seeds."""
    places = {"fidelity": "gfvd_16", "control": "action_following"}
    names = [*places.items(), ("outcome", "reward_ap"), ("outcome", "termination_ap")]
    endings = ("", "_sd") if len(result["protocol"]["seeds"]) > 1 else ("",)
    return {f"{name}{ending}": result[place].get(f"{name}{ending}") for place, name in names for ending in endings}


def main() -> None:
    on_cpu = jax.default_backend() == "cpu"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for footage and run")
    parser.add_argument("--transitions", type=int, default=REAL_TRANSITIONS)
    parser.add_argument("--num-envs", type=int, help="games side by side; one for every 1000 transitions by default")
    parser.add_argument("--minutes", type=float, default=4.0, help="of training, all slices together")
    parser.add_argument("--preset", default="tiny" if on_cpu else "small")
    parser.add_argument("--windows", type=int, default=64 if on_cpu else 2048, help="evaluation windows a seed")
    parser.add_argument("--seeds", type=int, default=1, help="evaluation seeds")
    parser.add_argument("--threads", type=int, default=32, help="that write; they mostly wait for the disk")
    parser.add_argument("--seed", type=int, default=0, help="of the games and of the training")
    parser.add_argument("--resume", action="store_true", help="go on in OUT")
    parser.add_argument("--slice", type=float, help="minutes after which to stop, to go on with --resume")
    args = parser.parse_args()
    if args.out.exists() and not args.resume:
        parser.error(f"{args.out} exists; go on in it with --resume, or choose another folder")
    args.out.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str((args.out / "compiled").resolve()))
    try:
        run(args, 32 if on_cpu else 256, Slice(args.slice))
    except KeyboardInterrupt:
        sys.exit(f"\nstopped after {read_seconds(args.out / 'seconds.json')} seconds; go on with --resume")


def run(args: argparse.Namespace, batch_size: int, part: Slice) -> None:
    """Record, train and measure, or what of it is left, and write the numbers."""
    times = args.out / "seconds.json"
    streams = args.num_envs or max(8, args.transitions // 1000)
    with clock(times, "record"):
        footage = record(args.out / "footage", args.transitions, streams, args.threads, args.seed, part)
    with clock(times, "train"):
        world = train(footage, args.out / "run", args.preset, args.minutes, args.seed, part)
    with clock(times, "evaluate"):
        result = measure(world, footage, args.windows, args.seeds, batch_size, part)
    seconds = read_seconds(times)
    transitions = footage.num_frames - len(footage)
    report = {
        "command": "python " + " ".join(["experiments/craftax_world.py", *sys.argv[1:]]),
        "summary": summary(result),
        "published": PUBLISHED,
        "policy": POLICY,
        "transitions": transitions,
        "episodes": len(footage),
        "seconds": seconds | {"total": round(sum(seconds.values()), 1)},
        **result,
        "training": world.card.training,
    }
    path = RESULTS if transitions >= REAL_TRANSITIONS else args.out / "craftax.json"
    write_json(report, path)
    print(f"{path} written: {json.dumps(report['summary'])} in {report['seconds']}", file=sys.stderr)


if __name__ == "__main__":
    main()
