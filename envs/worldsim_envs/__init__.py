"""Real games as plain Gymnasium environments; importing this package registers them.

    import gymnasium, worldsim_envs
    env = gymnasium.make("worldsim_envs/jump-v0")

Every id is `worldsim_envs/<game>-v0`; Luanti is `Luanti-v0` too. The engines are optional
(`pip install "worldsim-jax[games]"`) and imported only when a game is made; `phyworld-*`, `vases` and `memory-cards`
need none, `luanti` needs Debian's minetest and xvfb. Nothing here depends on world models.
"""

from __future__ import annotations

import difflib
import importlib
from typing import Any

import gymnasium

GAMES: dict[str, tuple[str, int]] = {
    "jump": ("pyxel_games:PyxelGame", 3000),
    "jump-tall": ("pyxel_games:PyxelGame", 3000),
    "shooter": ("pyxel_games:PyxelGame", 3000),
    "snake": ("pyxel_games:PyxelGame", 3000),
    "pong": ("atari_games:AtariGame", 27_000),
    "breakout": ("atari_games:AtariGame", 27_000),
    "freeway": ("atari_games:AtariGame", 27_000),
    "boxing": ("atari_games:AtariGame", 27_000),
    "doom-takecover": ("doom_games:DoomGame", 1000),
    "doom-defend-center": ("doom_games:DoomGame", 525),
    "doom-corridor": ("doom_games:DoomGame", 525),
    "doom-mywayhome": ("doom_games:DoomGame", 525),
    "doom-lookaway": ("doom_games:DoomGame", 525),
    "phyworld-uniform": ("phyworld:PhyWorld", 31),
    "phyworld-uniform-out": ("phyworld:PhyWorld", 31),
    "phyworld-collision": ("phyworld:PhyWorld", 31),
    "phyworld-collision-out": ("phyworld:PhyWorld", 31),
    "phyworld-parabola": ("phyworld:PhyWorld", 31),
    "phyworld-parabola-out": ("phyworld:PhyWorld", 31),
    "vases": ("vases:Vases", 80),
    "memory-cards": ("memory_cards:MemoryCards", 160),
    "luanti": ("luanti.game:LuantiGame", 1000),
    "luanti-valley": ("luanti.game:LuantiGame", 1000),
}
"""Game -> (module and class in this package, steps after which an episode is truncated)."""


def describe(game: str) -> dict[str, Any]:
    """Describe a game without importing its engine: title, licence, sizes, keys, names of the ground truth.

    Raises:
        ValueError: unknown game; names close matches.
    """
    if game not in GAMES:
        close = difflib.get_close_matches(game, GAMES, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(GAMES))}."
        raise ValueError(f"unknown game {game!r}: {hint}")
    module, _, name = GAMES[game][0].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name).describe(game)


for _game, (_entry_point, _max_episode_steps) in GAMES.items():
    gymnasium.register(
        f"{__name__}/{_game}-v0",
        entry_point=f"{__name__}.{_entry_point}",
        kwargs={"game": _game},
        max_episode_steps=_max_episode_steps,
    )

_entry_point, _max_episode_steps = GAMES["luanti"]
gymnasium.register("Luanti-v0", entry_point=f"{__name__}.{_entry_point}", max_episode_steps=_max_episode_steps)

__all__ = ["GAMES", "describe"]
