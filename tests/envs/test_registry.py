import builtins
import importlib
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

import worldsim_envs
from worldsim import schema
from worldsim.controls import ActionSpec
from worldsim_envs.game import MissingGamePackageError, centre, import_optional

ALL = sorted(worldsim_envs.GAMES)


@pytest.mark.parametrize("game", ALL)
def test_every_game_is_registered_with_a_time_limit(game):
    spec = gym.spec(f"worldsim_envs/{game}-v0")
    assert spec.kwargs == {"game": game} and spec.max_episode_steps > 0


@pytest.mark.parametrize("game", ALL)
def test_descriptions_are_complete_and_in_the_shape_of_an_action_spec(game):
    about = worldsim_envs.describe(game)
    spec = schema.from_json(ActionSpec, about["action"], complete=False)
    assert spec.is_discrete == (not game.startswith("luanti"))
    assert spec.choices[0].labels[0] in ("noop", "keep") and spec.choices[0].keys[0] == ()
    assert len(set(spec.choices[0].keys)) == len(spec.choices[0].keys), "two actions want the same keys"
    assert {"title", "prompts", "package", "extra", "licence", "assets_licence", "render_fps"} <= about.keys()
    assert len(set(about["state"])) == len(about["state"])
    for name, thing in about["objects"].items():
        if "view" in thing:  # what the picture is seen from, which has no place in it
            assert {thing["view"][column] for column in ("x", "y", "angle")} <= set(about["state"])
            continue
        assert {f"{name}_x", f"{name}_y"} <= set(about["state"]) and len(thing["size"]) == 2


@pytest.mark.parametrize("game", [g for g in ALL if worldsim_envs.describe(g)["package"] != "ale-py"])
def test_the_default_size_keeps_the_shape_of_the_picture(game):
    about = worldsim_envs.describe(game)
    (height, width), (native_height, native_width) = about["size"], about["native_size"]
    assert height / width == pytest.approx(native_height / native_width, rel=0.02)


def test_descriptions_are_the_callers_own():
    worldsim_envs.describe("jump")["prompts"].append("spoiled")
    assert "spoiled" not in worldsim_envs.describe("jump")["prompts"]


def test_describing_a_game_imports_no_engine():
    code = (
        "import sys, worldsim_envs; [worldsim_envs.describe(g) for g in worldsim_envs.GAMES];"
        "assert not {'pyxel', 'ale_py', 'vizdoom', 'cv2', 'worldsim'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)}, timeout=60)


def test_an_unknown_game_names_close_matches():
    with pytest.raises(ValueError, match="unknown game 'pongg': did you mean pong"):
        worldsim_envs.describe("pongg")
    with pytest.raises(ValueError, match="boxing, breakout"):
        worldsim_envs.describe("zzz")


@pytest.mark.parametrize(
    ("game", "module", "package"),
    [("jump", "pyxel", "pyxel"), ("pong", "ale_py", "ale-py"), ("doom-takecover", "vizdoom", "vizdoom")],
)
def test_a_missing_engine_says_how_to_install_it(game, module, package, monkeypatch):
    entry_point = gym.spec(f"worldsim_envs/{game}-v0").entry_point
    env_type = getattr(importlib.import_module(entry_point.partition(":")[0]), entry_point.partition(":")[2])
    real_import = builtins.__import__

    def no_engine(name, *args, **kwargs):
        if name.partition(".")[0] == module:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        return real_import(name, *args, **kwargs)

    for name in [n for n in sys.modules if n.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", no_engine)
    monkeypatch.setattr(importlib, "import_module", no_engine)
    with pytest.raises(MissingGamePackageError, match=rf'{package}.*pip install "worldsim-jax\[games\]"') as error:
        env_type(game)
    assert isinstance(error.value, ModuleNotFoundError) and error.value.name == module


def test_an_error_inside_an_engine_is_not_taken_for_a_missing_one(tmp_path, monkeypatch):
    (tmp_path / "broken_engine.py").write_text("import no_such_part_of_it\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_part_of_it") as error:
        import_optional("broken_engine", "broken-engine")
    assert not isinstance(error.value, MissingGamePackageError)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"size": (0, 64)}, "expected a positive height"),
        ({"size": 64}, "expected a height and a width"),
        ({"frame_skip": 0}, "expected at least 1 native frame"),
        ({"sticky": 1.5}, "expected a probability"),
        ({"render_mode": "human"}, "for render_mode"),
        ({"game": "chess"}, "unknown game 'chess': AtariGame has boxing, breakout, freeway, pong"),
    ],
)
def test_bad_settings_are_refused_by_name(kwargs, message):
    pytest.importorskip("ale_py")
    from worldsim_envs.atari_games import AtariGame

    with pytest.raises(ValueError, match=message):
        AtariGame(**{"game": "pong", **kwargs})


def test_a_centre_outside_the_picture_is_nan():
    assert centre(40, 30, (60, 80)) == (0.5, 0.5)
    assert np.isnan(centre(80, 30, (60, 80))).all() and np.isnan(centre(10, -0.5, (60, 80))).all()


def test_luanti_has_the_name_of_a_gymnasium_environment_of_its_own():
    spec = gym.spec("Luanti-v0")  # `gym.make("worldsim_envs:Luanti-v0")` imports this package first
    assert spec.entry_point == gym.spec("worldsim_envs/luanti-v0").entry_point and spec.max_episode_steps
