"""One world of several games: each has its size, its controls and its name, and all have the same weights."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

import worldsim
from tests.sphere import sphere_footage
from tests.worlds import PRESET, SPEC, bar_footage, random_world
from worldsim.checkpoint import (
    load_world,
    match_world,
    meant_game,
    read_card,
    save_world,
    say_worlds,
    says_names_alone,
    words_of,
)
from worldsim.data.controls import join_controls
from worldsim.data.store import Footage
from worldsim.metrics import psnr
from worldsim.train import fit, fit_games
from worldsim.train.mixed import mixed
from worldsim.train.steps import TrainState
from worldsim.types import ActionSpec, Axis, Button, discrete

GAMES = dataclasses.replace(
    PRESET,
    tokenizer={**PRESET.tokenizer, "num_layers": (0, 0), "num_local": 1},
    tokenizer_share=0.5,
    flow_share=0.1,
    num_denoise_steps=2,
    bootstrap_from=2.0,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("games")
    footages = [bar_footage(folder / "bar"), sphere_footage(folder / "sphere")]
    world = fit_games([f.path for f in footages], folder / "both", preset=GAMES, num_train_steps=700)
    return world, folder / "both" / "world", footages


def test_controls_of_one_name_and_meaning_are_one():
    walk = ActionSpec(buttons=(Button(name="jump"), Button(name="walk")), axes=(Axis(name="turn", low=-9.0, high=9.0),))
    other = ActionSpec(buttons=(Button(name="walk", keys=("KeyW",)),), axes=(Axis(name="turn", low=-1.0, high=1.0),))
    spec, columns = join_controls([walk, discrete(("stay", "go")), other])
    assert spec.column_names == ("action", "jump", "walk", "turn", "turn")
    assert columns == [(1, 2, 3), (0,), (2, 4)]


def test_each_game_has_its_size_its_controls_and_its_name(trained):
    world, path, _ = trained
    shapes = {"bar": ((16, 16), SPEC), "sphere": ((16, 24), worldsim.load(path, game="sphere").action_spec)}
    assert [game["name"] for game in world.card["games"]] == list(shapes)
    for name, (size, spec) in shapes.items():
        sim = worldsim.load(path, game=name)
        state, obs = sim.reset(jax.random.key(0), batch_size=2)
        assert sim.size == size and sim.action_spec == spec and obs.shape == (2, *size, 3)
        _, out = sim.step(state, np.stack([spec.noop] * 2))
        assert out.obs.shape == (2, *size, 3)
        np.testing.assert_array_equal(sim.config.prompt.nothing(1).labels[0, :1], [1 + list(shapes).index(name)])
    assert worldsim.load(path).size == (16, 16), "the first game by default"
    for a, b in zip(*(jax.tree.leaves(load_world(path, game=name).params) for name in shapes), strict=True):
        np.testing.assert_array_equal(a, b)


def test_both_games_are_painted_and_foretold(trained):
    for name, footage in zip(("bar", "sphere"), trained[2], strict=True):
        sim, episode = worldsim.load(trained[1], game=name), footage.read(0)
        obs = episode.obs[None, :12]
        mean = np.broadcast_to(obs.mean((0, 1), keepdims=True).astype(np.uint8), obs.shape)
        assert psnr(obs, np.asarray(sim.reconstruct(obs))).mean() > 4 + psnr(obs, mean).mean()
        action = np.concatenate([np.full((1, sim.action_spec.size), np.nan), episode.action]).astype(np.float32)[None]
        told = np.asarray(sim.teacher_forced(obs, action[:, :12], jax.random.key(0)))
        colour = np.broadcast_to(obs.mean((0, 1, 2, 3)).astype(np.uint8), obs.shape)
        assert psnr(obs[:, 4:], told[:, 4:]).mean() > 3 + psnr(obs, colour).mean()


def test_a_game_rests_the_controls_of_the_others(trained):
    sim = worldsim.load(trained[1], game="sphere")
    whole = worldsim.Simulator.from_world(load_world(trained[1], game="sphere")).config
    assert whole.columns == (1, 2, 3) and whole.num_controls == 4 and whole.action_size == sim.action_spec.size == 3


def test_a_world_of_several_games_dreams_at_any_size(trained):
    for size in ((32, 20), (16, 48)):
        sim = worldsim.load(trained[1], game="bar", size=size)
        state, obs = sim.reset(jax.random.key(0), batch_size=1)
        assert obs.shape == (1, *size, 3) and sim.step(state, [1])[1].obs.shape == (1, *size, 3)
        assert sim.reset(jax.random.key(0), prompt="nothing")[1].shape == (1, *size, 3)
        assert sim.config.camera.size == size
    with pytest.raises(ValueError, match="height and width"):
        worldsim.load(trained[1], size=(4, 4))


def test_it_is_measured_on_the_footage_of_each_game(trained):
    from worldsim.evaluate.run import held_out_columns

    world, path, footages = trained
    for game, footage in zip(world.card["games"], footages, strict=True):
        sim = worldsim.load(path, game=game["name"])
        assert sim.card["footage"]["digest"] == footage.digest()
        _, held, _ = held_out_columns(sim, footage)
        names = [e.name for e in footage.episodes]
        assert len(held.obs) == sum(footage.episodes[names.index(n)].length for n in game["held_out_episodes"])


def test_words_choose_the_game(trained):
    card = read_card(trained[1])
    assert meant_game(card, "play sphere, please") == "sphere" and meant_game(card, "whatever") == "bar"
    assert worldsim.load(f"{trained[1]}#sphere").size == (16, 24)
    assert meant_game(card, "sphere #1") == "sphere", "a stranger's words name no game behind a #, and raise nothing"
    assert meant_game(random_world().card, "bar #1") is None
    assert says_names_alone(card, "Sphere") and not says_names_alone(card, "sphere at night")
    assert words_of(trained[1]) is None
    for name, game in ((trained[1], "chess"), (f"{trained[1]}#chess", None)):
        with pytest.raises(ValueError, match="no game 'chess'; it has bar, sphere"):
            worldsim.load(name, game=game)


def test_a_game_of_several_is_reached_by_the_worlds_name_and_its_own(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained[1], tmp_path / "checkpoints" / "both")
    one = random_world()
    save_world(dataclasses.replace(one, card={**one.card, "name": "bar"}), tmp_path / "checkpoints" / "bar")
    assert set(say_worlds()) >= {"both", "both bar", "both sphere", "bar"}
    assert match_world("bar").name == "bar" and match_world("both bar").name == "both", "which has a game of that name"
    assert match_world("both sphere").name == match_world("sphere").name == "both"


def test_games_whose_cameras_turn_and_others_are_seen_alike(trained):
    path = trained[1]
    turning, still = (worldsim.load(path, game=game).config.camera for game in ("sphere", "bar"))
    assert turning.turns and turning.size == (16, 24) and not still.turns and still.size == (16, 16)
    sim = worldsim.load(path, game="bar")
    state, obs = sim.reset(jax.random.key(0), batch_size=1)
    state, _ = sim.step(state, np.asarray(sim.action_spec.noop)[None])
    np.testing.assert_array_equal(np.asarray(state.cache.view.heading), 0.0)
    assert state.cache.view.trust.size == 1, "a camera that stands still needs no panorama"


def test_it_goes_on_where_it_stopped(trained, tmp_path):
    world, _, footages = trained
    again = fit_games(
        [f.path for f in footages], trained[1].parent, preset=GAMES, num_train_steps=700, resume=True
    )  # all is done: the same weights
    for a, b in zip(*(jax.tree.leaves(w.params) for w in (world, again)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_cannot_be_one_world_is_refused(trained, tmp_path):
    bar, _ = trained[2]
    for data in ([], [bar.path], [bar.path, bar.path]):
        with pytest.raises(ValueError, match="several games wants footage of different ones"):
            fit_games(data, tmp_path / "run")
    with pytest.raises(ValueError, match="has no game 'doom'"):
        load_world(save_world(random_world(), tmp_path / "one") and tmp_path / "one", game="doom")
    with pytest.raises(ValueError, match="pixels alone"):
        load_world(tmp_path / "one", size=(32, 32))
    with pytest.raises(ValueError, match="one game"):
        fit(bar.path, tmp_path / "more", init=trained[1])


@pytest.mark.parametrize("columns", [[0, 0, 1], [0, 1, 9], [0, 1], "012"])
def test_a_card_with_controls_that_are_not_there_is_refused(trained, tmp_path, columns):
    card = json.loads(json.dumps(trained[0].card))
    card["games"][1]["columns"] = columns
    with pytest.raises(ValueError, match="3 different columns of 4"):
        save_world(dataclasses.replace(trained[0], card=card), tmp_path / "bad")


def test_starts_of_every_game_are_wanted(trained, tmp_path):
    starts = {k: v for k, v in trained[0].starts.items() if k != "sphere/obs"}
    with pytest.raises(ValueError, match="sphere/obs"):
        save_world(dataclasses.replace(trained[0], starts=starts), tmp_path / "bad")


def test_stages_take_turns_as_the_step_says():
    from worldsim.train.loop import Budget, Stage
    from worldsim.train.presets import StageConfig

    def stage(number: int) -> Stage:
        return Stage(
            "s",
            StageConfig(batch_size=1),
            Budget(9, None),
            1,
            lambda state, batch, key, rate: (state, {"number": number}),
            lambda step: np.full(2, 10 * number + step),
            lambda params, step: (float(number), f"note {number}"),
        )

    state = TrainState({}, {}, {})
    both = mixed([stage(0), stage(1)], ["a", "b"], seed=3)
    drawn = [both.batch(step) for step in range(40)]
    assert {d.which for d in drawn} == {0, 1} and [d.which for d in drawn] == [both.batch(i).which for i in range(40)]
    for step, one in enumerate(drawn):
        assert jax.tree.leaves(one)[0][0] == 10 * one.which + step
        assert both.step(state, one, None, None)[1] == {"number": one.which}
    assert both.judge(None, 5) == (0.5, "a: note 0; b: note 1")


def test_footage_is_left_as_it_was(trained):
    for footage in trained[2]:
        assert Footage.open(footage.path).digest() == footage.digest()
