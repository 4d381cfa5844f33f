"""One player in one world: the present moment, those to go back to, who holds the stick, and what is recorded.

Knows no sockets and no clock. A `SimState` is immutable, so that saving a moment is keeping it: `save`, `load` and
`rewind` cost nothing, and going on from an old moment branches.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from worldsim.data.game import Arrival
from worldsim.data.policies import Policy, sticky_random
from worldsim.play import frames
from worldsim.play.messages import Command
from worldsim.play.picture import decode
from worldsim.play.real import RealGame
from worldsim.play.recording import Archive, Recorded, Tape, dream_meta, game_meta
from worldsim.play.stepper import Dreamt, Stepper, Wish
from worldsim.simulator import NOTHING

SAVES = 9
HISTORY_S, HISTORY_EVERY_S = 30.0, 0.25
_HOLD = 8
_STRANGE_DB = 6.0  # a picture that the tokenizer knows this much worse than its footage is said to be strange


class Moment(NamedTuple):
    """A point in a dream to go back to."""

    dreamt: Dreamt
    total: float
    age: int  # steps since the start


class RealSide(NamedTuple):
    """The real game beside the dream, and what was seen of it of late."""

    game: RealGame
    past: deque[tuple[UInt8[np.ndarray, "h w c"], Any]]  # frames and the rows that led to them, None for the first
    total: float = 0.0
    arrival: Arrival | None = None


class Player:
    """A world of one's own.

    Args:
        stepper: of the world.
        archive: where recordings go.
        seed: of all that is drawn; another player's differs.
    """

    def __init__(self, stepper: Stepper, archive: Archive, seed: int | None = None):
        self.stepper, self.archive = stepper, archive
        self._rng = np.random.default_rng(secrets.randbits(64) if seed is None else seed)
        self.num_denoise_steps, self.noise_scale = stepper.num_denoise_steps, stepper.noise_scale
        self.paused, self.steps_due, self.picture_format = False, 0, "webp"
        self.pilot: Policy | None = None
        self.real: RealSide | None = None
        self.tapes: list[Tape] = []
        self.saves: deque[Moment] = deque(maxlen=SAVES)
        self.notes: list[tuple[str, str]] = []  # level, text
        self.recorded: list[Recorded] = []
        self.now: Moment
        self.flags = 0
        self.begin()

    # --- steps

    @property
    def is_due(self) -> bool:
        """Whether the next tick moves this world on."""
        return not self.paused or self.steps_due > 0

    def wish(self, row: Float[np.ndarray, " a"]) -> Wish:
        """What the model is asked for; sends the row to the real game too."""
        if self.pilot is not None:
            row = self.pilot()
        if self.real is not None:
            self._guard_real(lambda real: real.game.send(row))
        return Wish(self.now.dreamt.state, row, self.num_denoise_steps, self.noise_scale)

    def arrive(self, wish: Wish, dreamt: Dreamt) -> None:
        """Take a step of the model, and of the real game where it runs."""
        self.now = Moment(dreamt, self.now.total + dreamt.reward, self.now.age + 1)
        self.flags = (frames.TERMINATED if dreamt.terminated else 0) | (frames.HELD if self.paused else 0)
        self.steps_due = max(0, self.steps_due - 1)
        self._keep()
        if self.real is not None:
            self._guard_real(lambda real: self._arrive_real(real, wish.row))
        for tape in self.tapes:
            if tape.source == "dream":
                tape.step(wish.row, dreamt.obs, dreamt.reward, dreamt.terminated)
                if dreamt.terminated or tape.is_full:
                    self._cut(tape, again=True)

    def _keep(self) -> None:
        every = max(1, round(HISTORY_EVERY_S * self.stepper.card["fps"]))
        if self.now.age % every == 0:
            self.history.append(self.now)

    # --- commands

    def do(self, command: Command) -> None:
        """Do what a page asks for; what cannot be done becomes a note."""
        try:
            getattr(self, f"_do_{command.what}")(**command.args)
        except (ValueError, OSError, RuntimeError) as error:
            self.notes.append(("error", " ".join(str(error).split())))

    def begin(self, prompt: Any = None, prompt_actions: Any = None) -> None:
        """Begin anew: at a recorded moment, from "nothing", or from frames `[t h w c]`."""
        dreamt = self.stepper.begin(int(self._rng.integers(2**32)), prompt, prompt_actions)
        self.history: deque[Moment] = deque(maxlen=round(HISTORY_S / HISTORY_EVERY_S))
        self._jump(Moment(dreamt, 0.0, 0), frames.BEGUN)
        self._keep()

    def begin_from_picture(self, raw: bytes) -> None:
        """Begin from a stranger's picture, fitted to the world; says so where it is unlike all that the world knows."""
        try:
            obs = decode(raw, self.stepper.size)
        except ValueError as error:
            self.notes.append(("error", str(error)))
            return
        known = self.stepper.card["metrics"].get("fidelity", {}).get("psnr_tokenizer")
        psnr = self.stepper.reconstruction_psnr(obs)
        self.begin(obs[None])
        if known is not None and psnr < known - _STRANGE_DB:
            text = f"this picture is unlike the footage that this world knows ({psnr:.0f} dB against {known:.0f})"
            self.notes.append(("info", f"{text}: expect a strange dream"))

    def _do_save(self) -> None:
        self.saves.append(self.now)

    def _do_load(self, slot: int | None = None) -> None:
        if not self.saves:
            raise ValueError("no moment is saved yet.")
        if slot is not None and slot >= len(self.saves):
            raise ValueError(f"there are {len(self.saves)} saved moments, got slot {slot}.")
        self._go_back(self.saves[-1 if slot is None else slot])

    def _do_rewind(self, seconds: float) -> None:
        wanted = self.now.age - seconds * self.stepper.card["fps"]
        while len(self.history) > 1 and self.history[-1].age > wanted:
            self.history.pop()
        if self.history:
            self._go_back(self.history[-1])

    def _do_pause(self, on: bool) -> None:
        self.paused, self.steps_due = on, 0

    def _do_step(self) -> None:
        self.steps_due = self.steps_due + 1 if self.paused else 1
        self.paused = True

    def _do_start(self, prompt: str) -> None:
        self.begin(NOTHING if prompt == NOTHING else None)

    def _do_pilot(self, policy: str | None) -> None:
        self.pilot = None if policy is None else sticky_random(self.stepper.spec, self._rng, _HOLD)

    def _do_settings(self, num_denoise_steps: int | None = None, noise_scale: float | None = None, format="") -> None:
        if num_denoise_steps is not None and num_denoise_steps not in self.stepper.steps:
            raise ValueError(f"this world draws frames in {self.stepper.steps} steps, got {num_denoise_steps}.")
        self.num_denoise_steps = num_denoise_steps or self.num_denoise_steps
        self.noise_scale = self.noise_scale if noise_scale is None else noise_scale
        self.picture_format = format or self.picture_format

    def _do_record(self, on: bool) -> None:
        self.stop_recording()
        if not on:
            return
        card = self.stepper.card
        self.tapes.append(self.archive.open(f"{card['name']}-dream", dream_meta(card), "dream"))
        self.tapes[-1].begin(self.now.dreamt.obs)
        if self.real is not None:
            self._record_real(self.real)

    def _do_sync(self) -> None:
        real = self._need_real()
        obs, rows = zip(*real.past)
        if len(obs) < self.stepper.prompt_len:  # one shape more to compile would hold everybody up
            obs, rows = obs[-1:], (None,)
        unknown = np.full(self.stepper.spec.size, np.nan, np.float32)
        self.begin(np.stack(obs), np.stack([unknown if row is None else row for row in rows]))

    def _go_back(self, moment: Moment) -> None:
        while self.history and self.history[-1].age > moment.age:
            self.history.pop()
        self._jump(moment, frames.JUMPED)

    def _jump(self, moment: Moment, flag: int) -> None:
        """Be at another moment, with no step that leads there."""
        self.now, self.flags = moment, flag
        for tape in self.tapes:
            if tape.source == "dream":
                self._cut(tape, again=True)

    # --- the real game

    def take_real(self, game: RealGame) -> None:
        """Play a real game beside the dream from now on, and dream on from where it is."""
        self.drop_real()
        past: deque = deque(maxlen=self.stepper.prompt_len)
        self.real = RealSide(game, past)
        self._guard_real(self._reset_real)
        if self.real is not None:
            self._do_sync()
            if self.tapes:
                self._record_real(self.real)

    def drop_real(self) -> None:
        """End the real game."""
        real, self.real = self.real, None
        if real is not None:
            for tape in [tape for tape in self.tapes if tape.source == "game"]:
                self._cut(tape, again=False)
            real.game.close()

    def _do_real(self, on: bool) -> None:
        if on:
            raise RuntimeError("the real game starts outside of the player's turn.")  # Room does it
        self.drop_real()

    def _need_real(self) -> RealSide:
        if self.real is None or self.real.arrival is None:
            raise ValueError("the real game is not running.")
        return self.real

    def _reset_real(self, real: RealSide) -> None:
        arrival = real.game.reset(int(self._rng.integers(2**31 - 1)))
        real.past.clear()
        real.past.append((arrival.obs, None))
        self.real = real._replace(arrival=arrival, total=0.0)

    def _arrive_real(self, real: RealSide, row: Float[np.ndarray, " a"]) -> None:
        arrival = real.game.receive()
        real.past.append((arrival.obs, row))
        self.real = real._replace(arrival=arrival, total=real.total + arrival.reward)
        ended = arrival.terminated or arrival.truncated
        for tape in [tape for tape in self.tapes if tape.source == "game"]:
            tape.step(row, arrival.obs, arrival.reward, arrival.terminated, arrival.truncated, arrival.state)
            if ended or tape.is_full:
                self._cut(tape, again=not ended)
        if ended:
            self.flags |= frames.REAL_ENDED
            self._reset_real(self.real)
            if self.real is not None and self.tapes:
                self._record_real(self.real)

    def _record_real(self, real: RealSide) -> None:
        assert real.arrival is not None
        name = f"{self.stepper.card['name']}-game"
        self.tapes.append(self.archive.open(name, game_meta(real.game.meta), "game"))
        self.tapes[-1].begin(real.arrival.obs, real.arrival.state)

    def _guard_real(self, use: Any) -> None:
        """Let the real game go where it fails; the dream goes on."""
        assert self.real is not None
        try:
            use(self.real)
        except RuntimeError as error:
            self.notes.append(("error", str(error)))
            self.drop_real()

    # --- recordings

    def stop_recording(self) -> None:
        """End all recordings."""
        for tape in list(self.tapes):
            self._cut(tape, again=False)

    def close(self) -> None:
        """Leave: what was recorded is whole, and the real game ends."""
        self.stop_recording()
        self.drop_real()

    def _cut(self, tape: Tape, again: bool) -> None:
        recorded = tape.cut()
        if recorded is not None:
            self.recorded.append(recorded)
        if not again:
            self.tapes.remove(tape)
        elif tape.source == "dream":
            tape.begin(self.now.dreamt.obs)
        elif self.real is not None and self.real.arrival is not None:
            tape.begin(self.real.arrival.obs, self.real.arrival.state)
