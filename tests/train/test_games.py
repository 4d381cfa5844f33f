"""One world of several games: each has its size, its controls and its name, and all have the same weights."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

import worldsim
from tests.sphere import sphere_footage
from tests.worlds import RECIPE, SPEC, bar_footage, change, random_world
from worldsim.controls import ActionSpec, Axis, Button, discrete
from worldsim.data.controls import join_controls
from worldsim.data.store import Footage
from worldsim.initial import InitialContext
from worldsim.metrics import psnr
from worldsim.model.camera.geometry import CameraConfig
from worldsim.train import Init, fit
from worldsim.train.mixture import mixed
from worldsim.train.optimizer import TrainState
from worldsim.world import (
    Card,
    is_bare_name,
    load_world,
    match_game,
    match_world,
    parse_prompt,
    read_card,
    save_world,
    valid_names,
)

GAMES = dataclasses.replace(
    RECIPE,
    tokenizer=dataclasses.replace(RECIPE.tokenizer, num_layers=(0, 0), num_local=1),
    tokenizer_fraction=0.5,
    camera=CameraConfig(flow_width=8),
    flow_fraction=0.1,
    flow_frames=2,
    num_denoise_steps=2,
    bootstrap_start=2.0,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("games")
    footages = [bar_footage(folder / "bar"), sphere_footage(folder / "sphere")]
    world = fit([f.path for f in footages], folder / "both", preset=GAMES, num_train_steps=550)
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
    assert world.card.game_names == list(shapes)
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
        sim, episode = worldsim.load(trained[1], game=name), footage[0]
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
        assert sim.reset(jax.random.key(0), initial=InitialContext.noise())[1].shape == (1, *size, 3)
        assert sim.config.camera.size == size
    with pytest.raises(ValueError, match="height and width"):
        worldsim.load(trained[1], size=(4, 4))


def test_it_is_measured_on_the_footage_of_each_game(trained):
    from worldsim.evaluate.reference import held_out_columns

    world, path, footages = trained
    for game, footage in zip(world.card.games, footages, strict=True):
        sim = worldsim.load(path, game=game.name)
        assert sim.card.footage.digest == footage.digest()
        _, held, _ = held_out_columns(sim, footage)
        names = [e.name for e in footage.episodes]
        assert len(held.obs) == sum(footage.episodes[names.index(n)].length for n in game.held_out_episodes)


def test_words_choose_the_game(trained):
    card = read_card(trained[1])
    assert match_game(card, "play sphere, please") == "sphere" and match_game(card, "whatever") == "bar"
    assert worldsim.load(f"{trained[1]}#sphere").size == (16, 24)
    assert match_game(card, "sphere #1") == "sphere", "a stranger's words name no game behind a #, and raise nothing"
    assert match_game(random_world().card, "bar #1") is None
    assert is_bare_name(card, "Sphere") and not is_bare_name(card, "sphere at night")
    assert parse_prompt(trained[1]) is None
    for name, game in ((trained[1], "chess"), (f"{trained[1]}#chess", None)):
        with pytest.raises(ValueError, match="no game 'chess'; it has bar, sphere"):
            worldsim.load(name, game=game)


def test_a_game_of_several_is_reached_by_the_worlds_name_and_its_own(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained[1], tmp_path / "checkpoints" / "both")
    one = random_world()
    save_world(change(one, name="bar"), tmp_path / "checkpoints" / "bar")
    assert set(valid_names()) >= {"both", "both bar", "both sphere", "bar"}
    assert match_world("bar").name == "bar" and match_world("both bar").name == "both", "which has a game of that name"
    assert match_world("both sphere").name == match_world("sphere").name == "both"


def test_games_whose_cameras_turn_and_others_are_seen_alike(trained):
    path = trained[1]
    turning, still = (worldsim.load(path, game=game).config.camera for game in ("sphere", "bar"))
    assert turning.turns and turning.size == (16, 24) and not still.turns and still.size == (16, 16)
    sim = worldsim.load(path, game="bar")
    state, obs = sim.reset(jax.random.key(0), batch_size=1)
    state, _ = sim.step(state, np.asarray(sim.action_spec.noop)[None])
    np.testing.assert_array_equal(np.asarray(state.cache.prior.heading), 0.0)
    assert state.cache.prior.confidence.size == 1, "a camera that stands still needs no panorama"


def test_it_goes_on_where_it_stopped(trained, tmp_path):
    world, _, footages = trained
    again = fit(
        [f.path for f in footages], trained[1].parent, preset=GAMES, num_train_steps=550, resume=True
    )  # all is done: the same weights
    for a, b in zip(*(jax.tree.leaves(w.params) for w in (world, again)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_cannot_be_one_world_is_refused(trained, tmp_path):
    bar, _ = trained[2]
    for data in ([], [bar.path, bar.path]):
        with pytest.raises(ValueError, match="one game or of several different ones"):
            fit(data, tmp_path / "run")
    with pytest.raises(ValueError, match="expected a list of footage folders"):
        fit(str(bar.path), tmp_path / "run")
    with pytest.raises(ValueError, match="has no game 'doom'"):
        load_world(save_world(random_world(), tmp_path / "one") and tmp_path / "one", game="doom")
    with pytest.raises(ValueError, match="pixels alone"):
        load_world(tmp_path / "one", size=(32, 32))
    with pytest.raises(ValueError, match="expected footage of bar, sphere, in this order"):
        fit([bar.path], tmp_path / "more", init=trained[1])


def test_several_games_go_on_and_get_a_first_frame_model(trained, tmp_path):
    sizes = dataclasses.replace(RECIPE.dynamics, num_layers=1, num_local=0, local_width=8)
    recipe = dataclasses.replace(GAMES, first_frame=sizes, first_frame_fraction=0.5)
    origin, data = trained[0], [footage.path for footage in trained[2]]
    world = fit(
        data, tmp_path / "more", preset=recipe, num_train_steps=8, init=Init(origin, ("dynamics", "first_frame"))
    )
    assert [game.name for game in world.card.games] == ["bar", "sphere"]
    for part in ("tokenizer", "dynamics"):
        assert jax.tree.map(np.shape, world.params[part]) == jax.tree.map(np.shape, origin.params[part])
    for a, b in zip(*(jax.tree.leaves(w.params["tokenizer"]) for w in (world, origin)), strict=True):
        np.testing.assert_array_equal(a, b)
    sim = worldsim.load(tmp_path / "more" / "world", game="sphere")
    assert sim.reset(jax.random.key(0), initial=InitialContext.noise())[1].shape == (1, 16, 24, 3)


@pytest.mark.parametrize("columns", [[0, 0, 1], [0, 1, 9], [0, 1], "012"])
def test_a_card_with_controls_that_are_not_there_is_refused(trained, columns):
    card = trained[0].card.to_json()
    card["games"][1]["columns"] = columns
    with pytest.raises(ValueError, match="columns"):
        Card.from_json(card)


def test_initial_contexts_of_every_game_are_expected(trained, tmp_path):
    contexts = {k: v for k, v in trained[0].initial_contexts.items() if k != "sphere/obs"}
    with pytest.raises(ValueError, match="sphere/obs"):
        save_world(dataclasses.replace(trained[0], initial_contexts=contexts), tmp_path / "bad")


def test_stages_take_turns_as_the_step_says():
    from worldsim.train.loop import Budget, Stage
    from worldsim.train.recipes import StageConfig

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
    assert both.evaluate(None, 5) == (0.5, "a: note 0; b: note 1")


def test_footage_is_left_as_it_was(trained):
    for footage in trained[2]:
        assert Footage.open(footage.path).digest() == footage.digest()
