"""PhyWorld: balls whose motion has a closed form, to ask whether a world learned the law or its examples.

Three scenes on a square of 10 x 10 units, 10 frames a second, 32 frames an episode (31 steps), nobody at the controls:

- uniform: one ball goes to the right at constant speed v.
- collision: two balls of one height meet head on, v1 to the right and v2 to the left, without loss. Masses go as
  radius squared, so that u1 = ((m1 - m2) v1 - 2 m2 v2) / (m1 + m2) and u2 = ((m1 - m2) v2 + 2 m1 v1) / (m1 + m2), both
  counted to the right, are the velocities afterwards. They touch 8 to 24 frames after the start.
- parabola: one ball is thrown to the right at v from near the top and falls, 2.5 units / s^2.

The in-distribution split has radius 0.7 to 1.5 and speed 1 to 4; out of it lie radius 0.3 to 0.6 or 1.5 to 2 and speed
0 to 0.8 or 4.5 to 6: in a third of the episodes the radii, in a third the speeds, in a third both are outside. What
does not fit into the square (two large fast balls) is drawn again. `phyworld-uniform` has the inner split and
`phyworld-uniform-out` the outer one; `split` overrules the name.

The picture is drawn at any size, white, the edge of a ball ramping over one and a half pixels, so that the centroid of
its colour is its centre to 0.05 pixels. Ground truth beside the centre: `o_radius` as a fraction of the width, `o_vx`
and `o_vy` (down) as widths a second. Ten times these are the paper's units.

Source: Kang et al. 2024, "How Far is Video Generation from World Model: A Physical Law Perspective", arXiv 2411.02385.
The ranges are the paper's; here positions follow from the formula, where the paper steps a physics engine.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from .game import GameEnv, centre, choice, drawn_here

WORLD = 10.0  # units, both sides
FPS = 10
NUM_FRAMES = 32
GRAVITY = 2.5  # units / s^2
INSIDE = {"radius": ((0.7, 1.5),), "speed": ((1.0, 4.0),)}
OUTSIDE = {"radius": ((0.3, 0.6), (1.5, 2.0)), "speed": ((0.0, 0.8), (4.5, 6.0))}
SPLITS = ("in", "out")
NATIVE = 64
BACKGROUND = (255, 255, 255)
COLOURS = {"ball": (255, 0, 0), "other": (0, 0, 255)}
EDGE = 1.5  # pixels
_MARGIN = 0.5  # units between a ball and the upper and lower edge at the start
_SEEN = 2.4  # seconds that a ball stays wholly in the picture, where its speed allows
_CONTACT = (0.8, 2.4)  # seconds from the start to the collision


class Scene(NamedTuple):
    """Balls at time 0, in units and seconds; x to the right, y down from the upper edge."""

    radius: np.ndarray  # [n]
    position: np.ndarray  # [n 2]
    velocity: np.ndarray  # [n 2]
    gravity: float = 0.0

    @property
    def contact(self) -> float:
        """Seconds until two balls of one height touch; infinity where they never do, or there is one."""
        if len(self.radius) < 2:
            return np.inf
        gap = self.position[1, 0] - self.position[0, 0] - self.radius.sum()
        closing = self.velocity[0, 0] - self.velocity[1, 0]
        return gap / closing if closing > 0 else np.inf

    def at(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Positions and velocities `[n 2]` after t seconds, in closed form."""
        fall = np.array([0.0, self.gravity])
        before = min(t, self.contact)
        position = self.position + self.velocity * before + fall * before**2 / 2
        velocity = self.velocity + fall * before
        if t > self.contact:
            velocity = elastic(velocity, self.radius**2)
            position = position + velocity * (t - self.contact)
        return position, velocity


def elastic(velocity: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Velocities `[2 2]` of two balls of masses `[2]` after an elastic impact along x."""
    centre_of_mass = (mass[:, None] * velocity).sum(0) / mass.sum()
    return np.where([True, False], 2 * centre_of_mass - velocity, velocity)


def draw(
    position: np.ndarray, radius: np.ndarray, size: tuple[int, int], colours: tuple[tuple[int, int, int], ...]
) -> np.ndarray:
    """Draw discs at positions `[n 2]` with radii `[n]` in units, as uint8 `[h w 3]`."""
    rows, columns = ((np.arange(n) + 0.5) * WORLD / n for n in size)
    picture = np.full((*size, 3), BACKGROUND, np.float64)
    for (x, y), r, colour in zip(position, radius, colours):
        depth = (r - np.hypot(columns[None] - x, rows[:, None] - y)) * size[1] / WORLD  # pixels inside the edge
        cover = np.clip(depth / EDGE + 0.5, 0, 1)[..., None]
        picture += cover * (np.array(colour) - picture)
    return np.round(picture).astype(np.uint8)


def draw_outside(rng: np.random.Generator, split: str) -> tuple[str, ...]:
    """Draw which parameters of an episode lie outside the distribution; none do in the inner split."""
    return () if split == "in" else (("radius",), ("speed",), ("radius", "speed"))[rng.integers(3)]


def draw_parameter(rng: np.random.Generator, name: str, outside: tuple[str, ...], count: int) -> np.ndarray:
    """Draw the radius or the speed of `count` balls: a range of those that there are, then uniformly within it."""
    ranges = (OUTSIDE if name in outside else INSIDE)[name]
    return np.array([rng.uniform(*ranges[rng.integers(len(ranges))]) for _ in range(count)])


def uniform_motion(rng: np.random.Generator, split: str) -> Scene:
    """Draw one ball that keeps its velocity."""
    r, v = _one_ball(rng, split)
    y = rng.uniform(r + _MARGIN, WORLD - _MARGIN - r)
    return Scene(np.array([r]), np.array([[_left(rng, r, v), y]]), np.array([[v, 0.0]]))


def parabola(rng: np.random.Generator, split: str) -> Scene:
    """Draw one ball that is thrown to the right and falls."""
    r, v = _one_ball(rng, split)
    y = rng.uniform(r + _MARGIN, r + _MARGIN + 1)
    return Scene(np.array([r]), np.array([[_left(rng, r, v), y]]), np.array([[v, 0.0]]), GRAVITY)


def collision(rng: np.random.Generator, split: str) -> Scene:
    """Draw two balls that will meet."""
    outside = draw_outside(rng, split)
    while True:
        r, v = (draw_parameter(rng, name, outside, 2) for name in ("radius", "speed"))
        room = WORLD - 2 * r.sum()  # between the balls, when both touch the walls
        soonest, latest = (seconds * v.sum() for seconds in _CONTACT)
        if 0 < soonest <= room:
            break
    distance = r.sum() + rng.uniform(soonest, min(latest, room))
    x = rng.uniform(r[0], WORLD - r[1] - distance)
    y = rng.uniform(r.max() + _MARGIN, WORLD - _MARGIN - r.max())
    return Scene(r, np.array([[x, y], [x + distance, y]]), np.array([[v[0], 0.0], [-v[1], 0.0]]))


def _one_ball(rng: np.random.Generator, split: str) -> tuple[float, float]:
    outside = draw_outside(rng, split)
    r, v = (float(draw_parameter(rng, name, outside, 1)[0]) for name in ("radius", "speed"))
    return r, v


def _left(rng: np.random.Generator, r: float, v: float) -> float:
    """Draw where a ball starts: so that it stays in the picture for _SEEN seconds, else near the left edge."""
    farthest = WORLD - r - _SEEN * v
    return rng.uniform(r, farthest if farthest > r else r + 0.5)


SCENES = {"uniform": uniform_motion, "collision": collision, "parabola": parabola}


def _about(scene: str, split: str) -> dict[str, Any]:
    balls = list(COLOURS)[: 2 if scene == "collision" else 1]
    typical = round(2 * sum(INSIDE["radius"][0]) / 2 * NATIVE / WORLD)
    return {
        "title": f"PhyWorld, {scene}{'' if split == 'in' else ', out of distribution'}",
        "prompts": ["phyworld", scene, "balls"],
        **drawn_here(NATIVE, fps=FPS),
        "scene": scene,
        "split": split,
        "action": choice(("noop", ()), ("watch", ("Space",))),  # a choice has two options; neither does anything
        "state": [f"{ball}_{name}" for ball in balls for name in ("x", "y", "radius", "vx", "vy")],
        "objects": {ball: {"size": [typical] * 2, "colour": list(COLOURS[ball]), "kind": "ball"} for ball in balls},
    }


class PhyWorld(GameEnv):
    """A scene of PhyWorld. See `GameEnv` for the other arguments.

    Args:
        split: "in" or "out" of the distribution; None = by the name of the game.

    Raises:
        ValueError: another split.
    """

    draws_any_size: ClassVar[bool] = True
    games: ClassVar[dict[str, dict[str, Any]]] = {
        f"phyworld-{scene}{'' if split == 'in' else '-out'}": _about(scene, split)
        for scene in SCENES
        for split in SPLITS
    }

    def __init__(self, game: str, *, split: str | None = None, **kwargs: Any):
        super().__init__(game, **kwargs)
        if split not in (None, *SPLITS):
            raise ValueError(f"expected one of {SPLITS} for split, got {split!r}.")
        self.metadata["split"] = split or self.metadata["split"]
        self._colours = tuple(COLOURS[name] for name in self.metadata["objects"])

    def _start(self, seed: int) -> None:
        self._scene = SCENES[self.metadata["scene"]](np.random.default_rng(seed), self.metadata["split"])
        self._frames = 0

    def _advance(self, action: int) -> tuple[float, bool]:
        self._frames += self.frame_skip
        return 0.0, False

    def _frame(self) -> np.ndarray:
        position, _ = self._scene.at(self._frames / FPS)
        return draw(position, self._scene.radius, tuple(self.metadata["size"]), self._colours)

    def _state(self) -> dict[str, float]:
        position, velocity = self._scene.at(self._frames / FPS)
        state = {}
        for i, ball in enumerate(self.metadata["objects"]):
            column, row = position[i] * NATIVE / WORLD - 0.5  # pixels are counted from 0 in the middle of the first
            x, y = centre(column, row, (NATIVE, NATIVE))
            vx, vy = velocity[i] / WORLD
            state |= {f"{ball}_x": x, f"{ball}_y": y, f"{ball}_radius": self._scene.radius[i] / WORLD}
            state |= {f"{ball}_vx": vx, f"{ball}_vy": vy}
        return state

    def scripted_action(self) -> np.int64:
        """Watch: there is nothing to be done."""
        return np.int64(0)
