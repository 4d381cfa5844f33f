"""One player in one world: the present state, those to go back to, the policy that plays, and what is recorded.

Knows no sockets and no clock. A `SimState` is immutable, so that saving it is keeping it: `save`, `load` and `rewind`
cost nothing, and going on from an old state branches.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from worldsim.initial import InitialContext
from worldsim.play import background, frames
from worldsim.play.archive import Archive, Recorded, Tape, dream_meta, game_meta
from worldsim.play.messages import Command
from worldsim.play.reference import ReferenceGame
from worldsim.play.stepper import Stepper, StepRequest, StepResult
from worldsim.recording.policies import Policy, sticky_random
from worldsim.recording.real import RealGame

SAVES = 9
RANDOM = "random"
NOTHING = "nothing"  # begins from noise
HISTORY_S, HISTORY_EVERY_S = 30.0, 0.25
_UNFAMILIAR_DB = 6.0  # a picture whose reconstruction is this much worse than the footage's is told as such

Policies = Mapping[str, Callable[[int], Policy]]
"""Policies that can play beside random keys: name -> a new policy from a seed."""


class Snapshot(NamedTuple):
    """A point in a dream to go back to."""

    result: StepResult
    total: float
    age: int  # steps since the start


class Player:
    """A world of one's own. `seed` is of all that is drawn; `policies` can play in place of the person."""

    def __init__(self, stepper: Stepper, archive: Archive, seed: int | None = None, policies: Policies | None = None):
        self.stepper, self.archive, self.policies = stepper, archive, policies or {}
        self._rng = np.random.default_rng(secrets.randbits(64) if seed is None else seed)
        self.num_denoise_steps, self.noise_scale = stepper.num_denoise_steps, stepper.noise_scale
        self.paused, self.steps_due, self.picture_format = False, 0, "webp"
        self.policy: Policy | None = None
        self.policy_name: str | None = None
        self.real: ReferenceGame | None = None
        self.tapes: dict[str, Tape] = {}  # by source: dream, game
        self.saves: deque[Snapshot] = deque(maxlen=SAVES)
        self.notes: list[tuple[str, str]] = []  # level, text
        self.recorded: list[Recorded] = []
        self.now: Snapshot
        self.flags = 0
        self.rests_until = self.may_start_real_at = 0.0  # of the monotonic clock; the room sets both
        self.begin()

    # --- steps

    @property
    def is_due(self) -> bool:
        """Whether the next tick moves this world on."""
        return not self.paused or self.steps_due > 0

    def request(self, row: Float[np.ndarray, " a"]) -> StepRequest:
        """The step that the model is asked for; sends the row to the real game too."""
        if self.policy is not None:
            row = self.policy(self.now.result.obs, self._last_row)
        self._last_row = row
        if self.real is not None:
            self._guard_real(lambda real: real.game.send_step(row))
        return StepRequest(self.now.result.state, row, self.num_denoise_steps, self.noise_scale)

    def advance(self, request: StepRequest, result: StepResult) -> None:
        """Take a step of the model, and of the real game where it runs."""
        self.now = Snapshot(result, self.now.total + result.reward, self.now.age + 1)
        self.flags = (frames.TERMINATED if result.terminated else 0) | (frames.HELD if self.paused else 0)
        self.steps_due = max(0, self.steps_due - 1)
        self._keep()
        if self.real is not None:
            self._guard_real(lambda real: self._advance_real(real, request.row))
        tape = self.tapes.get("dream")
        if tape is not None:
            with self._noting_errors():
                tape.step(request.row, result.obs, result.reward, result.terminated)
            if result.terminated or tape.is_full:
                self._cut("dream", again=True)

    def _keep(self) -> None:
        every = max(1, round(HISTORY_EVERY_S * self.stepper.card.fps))
        if self.now.age % every == 0:
            self.history.append(self.now)

    # --- commands

    def do(self, command: Command) -> None:
        """Do a command of the page; what cannot be done becomes a note."""
        with self._noting_errors():
            getattr(self, f"_do_{command.what}")(**command.args)  # `messages` lets known names through, no others

    @contextmanager
    def _noting_errors(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, OSError, RuntimeError) as error:
            self.note_error(error)
            if isinstance(error, OSError) and not isinstance(error, BlockingIOError):
                self.tapes.clear()  # the disk is full, or not ours

    def note_error(self, error: Exception) -> None:
        """Tell the person of an error, in one line."""
        self.notes.append(("error", " ".join(str(error).split())))

    def begin(self, initial: InitialContext | None = None) -> None:
        """Begin anew, from a recorded context by default."""
        result = self.stepper.begin(int(self._rng.integers(2**32)), initial)
        self.history: deque[Snapshot] = deque(maxlen=round(HISTORY_S / HISTORY_EVERY_S))
        self._jump(Snapshot(result, 0.0, 0), frames.BEGUN)
        self._keep()

    def begin_from_picture(self, obs: UInt8[np.ndarray, "h w c"]) -> None:
        """Begin from a picture; notes where it is unlike all footage of the world."""
        if obs.shape[:2] != self.stepper.size:
            return  # of the world that the person has left meanwhile
        known = self.stepper.world.metrics.get("fidelity", {}).get("psnr_tokenizer")
        psnr = self.stepper.reconstruction_psnr(obs)
        self.begin(InitialContext.frames(obs[None]))
        if known is not None and psnr < known - _UNFAMILIAR_DB:
            text = f"this picture is unlike the footage that this world learned from ({psnr:.0f} dB, not {known:.0f})"
            self.notes.append(("info", f"{text}: expect a strange dream"))

    def _do_save(self) -> None:
        self.saves.append(self.now)

    def _do_load(self, slot: int | None = None) -> None:
        if not self.saves:
            raise ValueError("no state is saved yet.")
        if slot is not None and slot >= len(self.saves):
            raise ValueError(f"expected a slot in 0..{len(self.saves) - 1}, got {slot}.")
        self._go_back(self.saves[-1 if slot is None else slot])

    def _do_rewind(self, seconds: float) -> None:
        age = self.now.age - seconds * self.stepper.card.fps
        while len(self.history) > 1 and self.history[-1].age > age:
            self.history.pop()
        if self.history:
            self._go_back(self.history[-1])

    def _do_pause(self, on: bool) -> None:
        self.paused, self.steps_due = on, 0

    def _do_step(self) -> None:
        self.steps_due = self.steps_due + 1 if self.paused else 1
        self.paused = True

    def _do_start(self, prompt: str) -> None:
        if prompt == NOTHING:
            return self.begin(InitialContext.noise())
        is_text = prompt != RANDOM and self.stepper.reads_words
        self.begin(InitialContext.from_text(prompt) if is_text else None)
        if is_text:
            found = "a recorded moment that shows this" if self.stepper.recalls(prompt) else "a generated picture"
            self.notes.append(("info", f"this dream begins with {found}"))

    def _do_policy(self, name: str | None) -> None:
        if name not in (None, RANDOM, *self.policies):
            raise ValueError(f"expected one of {', '.join((RANDOM, *self.policies))} for policy, got {name!r}.")
        self.policy_name, self.policy = name, None
        if name == RANDOM:
            self.policy = sticky_random(self.stepper.spec, self._rng)
        elif name is not None:
            self.policy = self.policies[name](int(self._rng.integers(2**31)))

    def _do_settings(self, num_denoise_steps: int | None = None, noise_scale: float | None = None, format="") -> None:
        if num_denoise_steps is not None and num_denoise_steps not in self.stepper.steps:
            raise ValueError(f"expected one of {self.stepper.steps} denoising steps, got {num_denoise_steps}.")
        self.num_denoise_steps = num_denoise_steps or self.num_denoise_steps
        self.noise_scale = self.noise_scale if noise_scale is None else noise_scale
        self.picture_format = format or self.picture_format

    def _do_record(self, on: bool) -> None:
        self.stop_recording()
        if on:
            card = self.stepper.card
            self._begin_tape("dream", self.archive.open(f"{card.name}-dream", dream_meta(card), "dream"))
            self._record_real()

    def _do_sync(self) -> None:
        if self.real is None:
            raise ValueError("the real game is not running.")
        self.begin(InitialContext.frames(*self.real.context()))

    def _do_real(self, on: bool) -> None:
        assert not on, "the room starts the real game, since that takes seconds"
        self.drop_real()

    def _go_back(self, snapshot: Snapshot) -> None:
        while self.history and self.history[-1].age > snapshot.age:
            self.history.pop()
        self._jump(snapshot, frames.JUMPED)

    def _jump(self, snapshot: Snapshot, flag: int) -> None:
        """Go to another state, with no step that leads there."""
        self.now, self.flags = snapshot, flag
        self._last_row = np.full(self.stepper.spec.size, np.nan, np.float32)
        self._cut("dream", again=True)

    # --- the real game

    def take_real(self, game: RealGame) -> None:
        """Play a real game beside the dream from now on, and dream on from where it is."""
        self.drop_real()
        try:
            self.real = ReferenceGame(game, self.stepper.prompt_len, self._rng)
        except RuntimeError as error:
            self.note_error(error)
            return game.close()
        self._do_sync()
        with self._noting_errors():
            if self.tapes:
                self._record_real()

    def drop_real(self) -> None:
        """End the real game."""
        self._cut("game", again=False)
        real, self.real = self.real, None
        if real is not None:
            background.start(real.game.close)  # which waits for it

    def _advance_real(self, real: ReferenceGame, row: Float[np.ndarray, " a"]) -> None:
        real.receive_step(row)
        came, tape = real.now, self.tapes.get("game")
        if tape is not None:
            with self._noting_errors():
                tape.step(row, came.obs, came.reward, came.terminated, came.truncated, came.state)
        if real.has_ended:
            self.flags |= frames.REAL_ENDED
            real.reset()
        if self.flags & frames.REAL_ENDED or (tape is not None and tape.is_full):
            self._cut("game", again=True)

    def _record_real(self) -> None:
        if self.real is not None:
            name = f"{self.stepper.card.name}-game"
            self._begin_tape("game", self.archive.open(name, game_meta(self.real.game.meta), "game"))

    def _guard_real(self, use: Callable[[ReferenceGame], None]) -> None:
        """Let the real game go where it fails; the dream goes on."""
        assert self.real is not None
        try:
            use(self.real)
        except RuntimeError as error:
            self.note_error(error)
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
        tape = self.tapes.pop(source, None)
        if tape is None:
            return
        with self._noting_errors():
            if (recorded := tape.cut()) is not None:
                self.recorded.append(recorded)
            if again:
                self.archive.check_space()
                self._begin_tape(source, tape)

    def _begin_tape(self, source: str, tape: Tape) -> None:
        if source == "dream":
            tape.begin(self.now.result.obs)
        elif self.real is not None:
            tape.begin(self.real.now.obs, self.real.now.state)
        self.tapes[source] = tape
