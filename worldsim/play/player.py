"""One player in one world: the present moment, those to go back to, who holds the stick, and what is recorded.

Knows no sockets and no clock. A `SimState` is immutable, so that saving a moment is keeping it: `save`, `load` and
`rewind` cost nothing, and going on from an old moment branches.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from worldsim.data.policies import sticky_random
from worldsim.data.real import RealGame
from worldsim.play import frames
from worldsim.play.beside import Beside
from worldsim.play.messages import Command
from worldsim.play.picture import decode
from worldsim.play.recording import Archive, Recorded, Tape, dream_meta, game_meta
from worldsim.play.stepper import Dreamt, Stepper, Wish
from worldsim.simulator import NOTHING

SAVES = 9
RANDOM = "random"
HISTORY_S, HISTORY_EVERY_S = 30.0, 0.25
_HOLD = 8
_STRANGE_DB = 6.0  # a picture that the tokenizer knows this much worse than its footage is said to be strange


Pilot = Callable[[Any, Any], Any]
"""Who can hold the stick: from a frame uint8 `[h w c]` and the row that led to it (NaN: unknown) to the next row."""


class Moment(NamedTuple):
    """A point in a dream to go back to."""

    dreamt: Dreamt
    total: float
    age: int  # steps since the start


class Player:
    """A world of one's own.

    Args:
        stepper: of the world.
        archive: where recordings go.
        seed: of all that is drawn; another player's differs.
        pilots: who can take the stick beside random keys: name -> a new pilot from a seed.
    """

    def __init__(
        self,
        stepper: Stepper,
        archive: Archive,
        seed: int | None = None,
        pilots: Mapping[str, Callable[[int], Pilot]] | None = None,
    ):
        self.stepper, self.archive, self.pilots = stepper, archive, pilots or {}
        self._rng = np.random.default_rng(secrets.randbits(64) if seed is None else seed)
        self.num_denoise_steps, self.noise_scale = stepper.num_denoise_steps, stepper.noise_scale
        self.paused, self.steps_due, self.picture_format = False, 0, "webp"
        self.pilot: Pilot | None = None
        self.pilot_name: str | None = None
        self.real: Beside | None = None
        self.tapes: dict[str, Tape] = {}  # by source: dream, game
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
            row = self.pilot(self.now.dreamt.obs, self._last_row)
        self._last_row = row
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
        if "dream" in self.tapes:
            self.tapes["dream"].step(wish.row, dreamt.obs, dreamt.reward, dreamt.terminated)
            if dreamt.terminated or self.tapes["dream"].is_full:
                self._cut("dream", again=True)

    def _keep(self) -> None:
        every = max(1, round(HISTORY_EVERY_S * self.stepper.card["fps"]))
        if self.now.age % every == 0:
            self.history.append(self.now)

    # --- commands

    def do(self, command: Command) -> None:
        """Do what a page asks for; what cannot be done becomes a note."""
        try:
            getattr(self, f"_do_{command.what}")(**command.args)  # `messages` lets known names through, no others
        except (ValueError, OSError, RuntimeError) as error:
            self.notes.append(("error", " ".join(str(error).split())))

    def begin(self, prompt: Any = None, prompt_actions: Any = None) -> None:
        """Begin anew: at a recorded moment, from "nothing", from frames `[t h w c]`, or from words."""
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
        is_known = prompt == NOTHING or (prompt != "random" and self.stepper.reads_words)
        self.begin(prompt if is_known else None)

    def _do_pilot(self, policy: str | None) -> None:
        if policy not in (None, RANDOM, *self.pilots):
            raise ValueError(f"there is no pilot {policy!r}; there are {', '.join((RANDOM, *self.pilots))}.")
        self.pilot_name, self.pilot = policy, None
        if policy == RANDOM:
            keys = sticky_random(self.stepper.spec, self._rng, _HOLD)
            self.pilot = lambda obs, row: keys()
        elif policy is not None:
            self.pilot = self.pilots[policy](int(self._rng.integers(2**31)))

    def _do_settings(self, num_denoise_steps: int | None = None, noise_scale: float | None = None, format="") -> None:
        if num_denoise_steps is not None and num_denoise_steps not in self.stepper.steps:
            raise ValueError(f"this world draws frames in {self.stepper.steps} steps, got {num_denoise_steps}.")
        self.num_denoise_steps = num_denoise_steps or self.num_denoise_steps
        self.noise_scale = self.noise_scale if noise_scale is None else noise_scale
        self.picture_format = format or self.picture_format

    def _do_record(self, on: bool) -> None:
        self.stop_recording()
        if on:
            card = self.stepper.card
            self.tapes["dream"] = self.archive.open(f"{card['name']}-dream", dream_meta(card), "dream")
            self.tapes["dream"].begin(self.now.dreamt.obs)
            self._record_real()

    def _do_sync(self) -> None:
        if self.real is None:
            raise ValueError("the real game is not running.")
        self.begin(*self.real.prompt())

    def _go_back(self, moment: Moment) -> None:
        while self.history and self.history[-1].age > moment.age:
            self.history.pop()
        self._jump(moment, frames.JUMPED)

    def _jump(self, moment: Moment, flag: int) -> None:
        """Be at another moment, with no step that leads there."""
        self.now, self.flags = moment, flag
        self._last_row = np.full(self.stepper.spec.size, np.nan, np.float32)
        if "dream" in self.tapes:
            self._cut("dream", again=True)

    # --- the real game

    def take_real(self, game: RealGame) -> None:
        """Play a real game beside the dream from now on, and dream on from where it is."""
        self.drop_real()
        try:
            self.real = Beside(game, self.stepper.prompt_len, self._rng)
        except RuntimeError as error:
            self.notes.append(("error", str(error)))
            game.close()
            return
        self._do_sync()
        if self.tapes:
            self._record_real()

    def drop_real(self) -> None:
        """End the real game."""
        self._cut("game", again=False)
        real, self.real = self.real, None
        if real is not None:
            real.game.close()

    def _do_real(self, on: bool) -> None:
        assert not on, "the room starts the real game, since that takes seconds"
        self.drop_real()

    def _arrive_real(self, real: Beside, row: Float[np.ndarray, " a"]) -> None:
        real.arrive(row)
        came = real.now
        if "game" in self.tapes:
            self.tapes["game"].step(row, came.obs, came.reward, came.terminated, came.truncated, came.state)
        is_full = "game" in self.tapes and self.tapes["game"].is_full
        if real.has_ended:
            self.flags |= frames.REAL_ENDED
            real.reset()
        if is_full or self.flags & frames.REAL_ENDED:
            self._cut("game", again=True)

    def _record_real(self) -> None:
        if self.real is not None:
            name = f"{self.stepper.card['name']}-game"
            self.tapes["game"] = self.archive.open(name, game_meta(self.real.game.meta), "game")
            self.tapes["game"].begin(self.real.now.obs, self.real.now.state)

    def _guard_real(self, use: Callable[[Beside], None]) -> None:
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
        for source in list(self.tapes):
            self._cut(source, again=False)

    def close(self) -> None:
        """Leave: what was recorded is whole, and the real game ends."""
        self.stop_recording()
        self.drop_real()

    def _cut(self, source: str, again: bool) -> None:
        """End an episode that is being recorded, and begin the next one at the present frame."""
        tape = self.tapes.get(source)
        if tape is None:
            return
        recorded = tape.cut()
        if recorded is not None:
            self.recorded.append(recorded)
        if not again:
            del self.tapes[source]
        elif source == "dream":
            tape.begin(self.now.dreamt.obs)
        elif self.real is not None:
            tape.begin(self.real.now.obs, self.real.now.state)
