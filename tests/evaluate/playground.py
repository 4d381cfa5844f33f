"""A game in which everything can be measured at once; its worlds are in `playground_worlds`.

A player at the bottom goes left and right by the keys, and is paid while it stands in the left quarter. Above it a ball
goes round on an ellipse at a steady pace, two cards show their face for 3 frames in 12, and a coin lies on its left or
on its right seat: tossed at every frame in one half of the episodes, always right in the other. The colours differ from
the ground in ways that no share of the ball's colour explains.
"""

from typing import NamedTuple

import numpy as np

from worldsim.controls import discrete
from worldsim.data.meta import FootageMeta
from worldsim.data.store import Footage, FootageWriter
from worldsim.types import Episode

SIZE, LENGTH, FPS = 32, 70, 10.0
SPEC = discrete(("stay", "left", "right"))
GROUND, BALL, PLAYER, COIN = (60, 60, 60), (240, 60, 60), (60, 240, 60), (60, 60, 120)
FACES, HIDDEN = ((60, 60, 220), (60, 220, 60), (60, 220, 220), (60, 160, 60)), (60, 110, 110)
CENTRE, REACH, RADIUS = np.array([15.5, 8.5]), np.array([11.0, 4.5]), 2.0  # of the ball's way, in pixels
CARDS, CARD, COINS, COIN_SIZE, COIN_TOP = ((2, 18), (10, 18)), 5, (18, 26), 4, 18  # left and upper edges
PLAYER_SIZE, PLAYER_TOP, PAID = 4, 27, 8
PERIOD, SHOWN, LEAD = (
    12,
    3,
    np.array([0, 8]),
)  # of the cards: at an episode's frame 7 both have been shown and lie hidden
MOVES = np.array([0, -1, 1])


class Round(NamedTuple):
    """What is settled when an episode begins."""

    phase: np.ndarray  # of the ball, radians
    pace: np.ndarray  # of the ball, radians a frame
    faces: np.ndarray  # [2]
    odds: np.ndarray  # that the coin falls right


class Scene(NamedTuple):
    """What a frame shows, `[...]` or `[... 2]`."""

    ball: np.ndarray
    player: np.ndarray
    faces: np.ndarray
    shown: np.ndarray
    right: np.ndarray


def new_round(seed: int) -> Round:
    """Settle an episode."""
    rng = np.random.default_rng([seed, 3])
    pace = rng.uniform(0.15, 0.3) * rng.choice([-1, 1])
    faces = rng.integers(len(FACES), size=2)
    return Round(rng.uniform(0, 2 * np.pi), pace, faces, np.where(seed % 2, 1.0, 0.8))


def ball_at(angle: np.ndarray) -> np.ndarray:
    """Middle of the ball x, y in pixels."""
    return CENTRE + REACH * np.stack([np.cos(angle), np.sin(angle)], -1)


def are_shown(when: np.ndarray) -> np.ndarray:
    """Whether each card shows its face at a frame number."""
    return (when[..., None] + LEAD) % PERIOD < SHOWN


def walk(player: np.ndarray, action: np.ndarray) -> np.ndarray:
    """The player's next left edge; an action that nobody knows is none."""
    return np.clip(player + MOVES[np.nan_to_num(action).astype(int)], 0, SIZE - PLAYER_SIZE)


def draw(scene: Scene) -> np.ndarray:
    """Pictures `[... h w 3]`."""
    obs = np.broadcast_to(np.float32(GROUND), (*scene.player.shape, SIZE, SIZE, 3)).copy()
    x, y = (scene.ball[..., axis, None, None] for axis in (0, 1))
    far = np.hypot(np.arange(SIZE) - x, np.arange(SIZE)[:, None] - y)
    cover = np.clip(RADIUS + 0.5 - far, 0, 1)[..., None]
    obs = obs * (1 - cover) + cover * np.float32(BALL)
    for number, (left, top) in enumerate(CARDS):
        looks = np.where(scene.shown[..., number, None], np.array(FACES)[scene.faces[..., number]], HIDDEN)
        obs[..., top : top + CARD, left : left + CARD, :] = looks[..., None, None, :]
    for is_right, left in enumerate(COINS):
        here = (scene.right == is_right)[..., None, None, None]
        seat = obs[..., COIN_TOP : COIN_TOP + COIN_SIZE, left : left + COIN_SIZE, :]
        seat[...] = np.where(here, np.float32(COIN), seat)
    block = (np.arange(SIZE) - scene.player[..., None]) % SIZE < PLAYER_SIZE
    row = obs[..., PLAYER_TOP : PLAYER_TOP + PLAYER_SIZE, :, :]
    row[...] = np.where(block[..., None, :, None], np.float32(PLAYER), row)
    return np.round(obs).astype(np.uint8)


def find_player(obs: np.ndarray) -> np.ndarray:
    """Left edge of the player in pictures `[... h w 3]`; 0 where there is none."""
    return (obs[..., PLAYER_TOP, :, :] == PLAYER).all(-1).argmax(-1)


def episode(seed: int) -> Episode:
    """One episode under actions that are held for 1 to 8 frames."""
    rng, when = np.random.default_rng([seed, 5]), np.arange(LENGTH + 1)
    action = np.repeat(rng.integers(3, size=LENGTH), rng.integers(1, 9, size=LENGTH))[:LENGTH]
    player = [np.int64(rng.integers(SIZE - PLAYER_SIZE))]
    for a in action:
        player.append(walk(player[-1], a))
    player, own = np.array(player), new_round(seed)
    faces = np.tile(own.faces, (len(when), 1))
    ball, shown = ball_at(own.phase + own.pace * when), are_shown(when)
    nothing = np.zeros(LENGTH, bool)
    places = [np.tile(np.add(card, CARD / 2) / SIZE, (len(when), 1)) for card in CARDS]
    cards = [np.column_stack([place, shown[:, i], faces[:, i]]) for i, place in enumerate(places)]
    middle = np.column_stack([player + PLAYER_SIZE / 2, np.full(len(when), PLAYER_TOP + PLAYER_SIZE / 2)]) / SIZE
    return Episode(
        obs=draw(Scene(ball, player, faces, shown, rng.random(len(when)) < own.odds)),
        action=action[:, None].astype(np.float32),
        reward=(player[1:] < PAID).astype(np.float32),
        terminated=nothing,
        truncated=np.arange(LENGTH) == LENGTH - 1,
        state=np.column_stack([(ball + 0.5) / SIZE, np.full(len(when), RADIUS / SIZE), middle, *cards]).astype(
            np.float32
        ),
    )


def footage(path, episodes: int = 24) -> Footage:
    """Some recorded episodes."""
    faces = {"shown": "up", "face": "face", "colours": [list(x) for x in FACES], "hidden": list(HIDDEN)}
    card = {"size": [CARD, CARD], "faces": faces}
    meta = FootageMeta(
        game="playground",
        title="Playground",
        size=(SIZE, SIZE),
        fps=FPS,
        action_spec=SPEC,
        state_names=("ball_x", "ball_y", "ball_radius", "player_x", "player_y")
        + tuple(f"card{i}_{column}" for i in (0, 1) for column in ("x", "y", "up", "face")),
        objects={
            "ball": {"size": [5, 5], "colour": list(BALL)},
            "player": {"size": [PLAYER_SIZE, PLAYER_SIZE], "kind": "player"},
            "card0": card,
            "card1": card,
        },
        recorder={"native_size": [SIZE, SIZE], "seed": 0},
    )
    with FootageWriter(path, meta) as writer:
        for seed in range(episodes):
            writer.add(episode(seed), seed=seed)
    return Footage.open(path)
