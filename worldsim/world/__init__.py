"""What is kept of a learned world: a bundle that is small and safe to share, its card, and where bundles lie."""

from worldsim.world.arrays import flatten, load_arrays, save_arrays, unflatten
from worldsim.world.bundle import World, load_world, read_bundle, read_metrics, save_world
from worldsim.world.card import (
    NAME_PATTERN,
    Card,
    FootageSource,
    GameCard,
    LearnedGame,
    SamplerConfig,
    check_name,
    check_same_game,
    read_card,
)
from worldsim.world.games import card_of_game, chosen_game, is_bare_name, match_game
from worldsim.world.model_card import model_card, trained_for
from worldsim.world.registry import find_world, list_worlds, match_world, parse_prompt, valid_names

__all__ = [
    "Card",
    "FootageSource",
    "GameCard",
    "LearnedGame",
    "NAME_PATTERN",
    "SamplerConfig",
    "World",
    "card_of_game",
    "check_name",
    "check_same_game",
    "chosen_game",
    "find_world",
    "flatten",
    "is_bare_name",
    "list_worlds",
    "load_arrays",
    "load_world",
    "match_game",
    "match_world",
    "model_card",
    "parse_prompt",
    "read_bundle",
    "read_card",
    "read_metrics",
    "save_arrays",
    "save_world",
    "trained_for",
    "unflatten",
    "valid_names",
]
