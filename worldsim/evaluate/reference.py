"""What a world is measured against: held-out recorded frames, and what is fitted to other frames of the same footage.

Only held-out episodes are measured: those that training set aside where the world was trained on this very footage,
else a half on which the object detectors were not calibrated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from worldsim.data.dataset import Columns, load_columns, split_episodes
from worldsim.data.meta import FootageMeta
from worldsim.data.store import Footage
from worldsim.evaluate.fitted.background import Background, fit_background
from worldsim.evaluate.fitted.inverse import Inverse, fit_inverse
from worldsim.evaluate.fitted.networks import Networks, load_networks
from worldsim.evaluate.fitted.opposite import OppositeActions, fit_opposite_actions
from worldsim.evaluate.fitted.targets import Target, find_targets
from worldsim.evaluate.metric import Numbers
from worldsim.evaluate.options import EvalOptions
from worldsim.simulator import Simulator
from worldsim.world import check_same_game

MAX_CALIBRATION_FRAMES = 12_000
MAX_FOREIGN_EPISODES = 32


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Recorded frames and what is fitted to them, once for all worlds that are measured on them."""

    meta: FootageMeta
    calibration: Columns
    held_out: Columns
    with_objects: bool = True
    foreign: Columns | None = None
    """Frames of another game."""
    plays: Mapping[str, Columns] = field(default_factory=dict)
    """The game played from its start, by policy."""
    networks: Networks = Networks(None, None)
    protocol: Numbers = field(default_factory=dict)
    """How the frames were divided."""

    def with_plays(self, plays: Mapping[str, Footage]) -> Reference:
        """The same with recorded plays, by policy.

        Raises:
            ValueError: they are of another game.
        """
        for played in plays.values():
            self.meta.check_same_world(played.meta)
        return replace(self, plays={who: load_columns(played, range(len(played))) for who, played in plays.items()})

    @cached_property
    def targets(self) -> dict[str, Target]:
        """Detectors of the game's objects, by name."""
        return find_targets(self.meta, self.calibration, self.held_out) if self.with_objects else {}

    @cached_property
    def background(self) -> Background:
        """What stays at its place in the recorded frames."""
        return fit_background(self.calibration.obs)

    @cached_property
    def opposite_actions(self) -> OppositeActions:
        """Pairs of opposite actions, with the direction in which each moves things."""
        return fit_opposite_actions(self.meta.action_spec, self.calibration, self.targets)

    @cached_property
    def inverse(self) -> Inverse | None:
        """The inverse model, where the controls allow one."""
        return fit_inverse(self.meta.action_spec, self.calibration)


def open_reference(worlds: Sequence[Simulator], footage: Footage, options: EvalOptions) -> Reference:
    """Load what worlds are measured against; no frame is used that one of them was trained on.

    Raises:
        ValueError: footage that a world cannot be measured on, or of the same game as `options.other`; an unfit weights
            file.
    """
    for sim in worlds:
        check_same_game(sim.card, footage.meta, footage.path)
    networks = load_networks(options.lpips, options.fvd, footage.meta.size)
    foreign = None if options.other is None else _load_foreign(options.other, footage)
    calibration, held_out, protocol = held_out_columns(worlds[0], footage, worlds[1:])
    reference = Reference(
        meta=footage.meta,
        calibration=calibration,
        held_out=held_out,
        with_objects=options.with_objects,
        foreign=foreign,
        networks=networks,
        protocol=protocol,
    )
    return reference.with_plays(options.plays)


def held_out_columns(
    sim: Simulator, footage: Footage, also: Sequence[Simulator] = ()
) -> tuple[Columns, Columns, Numbers]:
    """Frames for calibration, frames to measure on, and how they were divided.

    Raises:
        ValueError: several worlds, and no episode that none of them was trained on.
    """
    trained_on = set().union(*(_training_episodes(world, footage) for world in (sim, *also)))
    if trained_on:
        held_out = [i for i in range(len(footage)) if i not in trained_on]
        if not held_out:
            raise ValueError(
                f"expected an episode that none of the worlds was trained on, {footage.path} has none among its "
                f"{len(footage)}; record fresh footage with another seed."
            )
        rest = sorted(trained_on)
    else:
        rest, held_out = split_episodes(footage, eval_fraction=0.5)
    lengths = np.cumsum([footage.episodes[i].length for i in rest])
    enough = int(np.searchsorted(lengths, MAX_CALIBRATION_FRAMES)) + 1
    protocol = {
        "footage": footage.digest(),
        "game": footage.meta.game,
        "trained_on_this_footage": bool(trained_on),
        "held_out_episodes": len(held_out),
        "held_out_frames": sum(footage.episodes[i].length for i in held_out),
    }
    return load_columns(footage, rest[:enough]), load_columns(footage, held_out), protocol


def _training_episodes(sim: Simulator, footage: Footage) -> set[int]:
    """Numbers of the episodes that the world was trained on; none where it was trained on other footage.

    A recording that went on after the training keeps its first episodes.
    """
    source, held_out = sim.card.footage, set(sim.card.held_out_episodes)
    if source.digest != footage.digest() and source.recorder != dict(footage.meta.recorder):
        return set()
    known = footage.episodes[: source.episodes or len(footage)]
    return {i for i, episode in enumerate(known) if episode.name not in held_out}


def _load_foreign(other: Footage, footage: Footage) -> Columns:
    if other.meta.game == footage.meta.game:
        raise ValueError(f"expected footage of another game, got {other.path}, which is of {other.meta.game!r} too.")
    return load_columns(other, range(min(len(other), MAX_FOREIGN_EPISODES)))
