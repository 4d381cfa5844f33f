"""The registered games: what can be recorded, and what each needs."""

from __future__ import annotations

import importlib
import os
import shutil
from contextlib import suppress
from importlib import metadata
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator

NAMESPACE = "worldsim_envs"


def list_games() -> list[dict[str, object]]:
    """Return what every registered game says of itself, its "id", whether it is "ready" here and how to "install" it.

    No engine is imported.
    """
    with suppress(ModuleNotFoundError):
        importlib.import_module(NAMESPACE)
    games = []
    for spec in gymnasium.registry.values():
        if spec.namespace == NAMESPACE:
            kind: Any = load_env_creator(str(spec.entry_point))
            about = kind.describe(**spec.kwargs)
            install = f'pip install "worldsim-jax[{about["extra"]}]"'
            missing = [program for program in about.get("programs", ()) if not _has_program(program)]
            if missing:
                install = f"{install} and the programs {', '.join(missing)}"
            ready = _is_installed(about["package"]) and not missing
            games.append({**about, "id": spec.id, "ready": ready, "install": install})
    return sorted(games, key=lambda g: (g["package"] != "pyxel", g["package"], g["name"]))


def _has_program(name: str) -> bool:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/games") is not None


def _is_installed(package: str) -> bool:
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False
