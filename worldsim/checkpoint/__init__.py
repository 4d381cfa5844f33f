"""What is kept on disk: World bundles, small and safe to share, and the state of a training run."""

from worldsim.checkpoint.arrays import load_arrays, save_arrays
from worldsim.checkpoint.bundle import World, flatten, load_world, save_world, unflatten
from worldsim.checkpoint.card import (
    NAME_PATTERN,
    find_world,
    list_worlds,
    match_world,
    model_card,
    read_card,
    say_worlds,
    words_of,
)
from worldsim.checkpoint.games import OWN, chosen_game, meant_game, names_of, says_names_alone, screens_of
from worldsim.checkpoint.training import open_training, restore_training, save_training

__all__ = [
    "chosen_game",
    "find_world",
    "flatten",
    "list_worlds",
    "load_arrays",
    "load_world",
    "match_world",
    "meant_game",
    "model_card",
    "NAME_PATTERN",
    "names_of",
    "open_training",
    "OWN",
    "read_card",
    "restore_training",
    "save_arrays",
    "save_training",
    "save_world",
    "say_worlds",
    "says_names_alone",
    "screens_of",
    "unflatten",
    "words_of",
    "World",
]
