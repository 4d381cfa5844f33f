"""Context that the dynamics dreamed themselves over several frames."""

import dataclasses

import numpy as np
import pytest
from flax import nnx

from tests.worlds import RECIPE, SIZE, SPEC, bar_footage
from worldsim.data.dataset import Windows, load_columns
from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.params import split
from worldsim.train import fit
from worldsim.train.games import fill_recipe
from worldsim.train.stages.dynamics import new_dynamics
from worldsim.train.stages.rollouts import LEAST_GIVEN, Rollouts

LENGTH = 8


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    return bar_footage(tmp_path_factory.mktemp("footage") / "bar")


@pytest.fixture(scope="module")
def rollouts(footage):
    configs = fill_recipe(RECIPE, SIZE, SPEC)
    dynamics, _ = new_dynamics(configs, 0)
    windows = Windows(load_columns(footage, [0, 1]), LENGTH)
    shape = (len(windows.columns.obs), configs.dynamics.num_latents, configs.dynamics.token_dim)
    latents = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    graph, params = split(dynamics)
    return Rollouts(graph, Tokenizer(configs.tokenizer, rngs=nnx.Rngs(0)), latents, windows, 1, seed=0), params


def test_before_the_first_dream_the_context_is_what_was_recorded(rollouts):
    buffer, _ = rollouts
    ids, context = buffer.mix(np.arange(4), 2, step=0)
    assert np.array_equal(ids, np.arange(4))
    assert np.array_equal(context, buffer.latents[buffer.windows.rows(ids)[0]])


def test_windows_begin_as_recorded_and_go_on_as_dreamed(rollouts):
    buffer, params = rollouts
    buffer.refresh(params, 0)
    ids, context = buffer.mix(np.arange(4), 2, step=0)
    recorded = buffer.latents[buffer.windows.rows(ids)[0]]
    same = (context == recorded).all((2, 3))
    assert np.array_equal(ids[:2], [0, 1]) and same[:2].all()
    assert same[2:, :LEAST_GIVEN].all() and not same[2:, LENGTH // 2 :].any()
    assert np.isfinite(context).all()


def test_dreams_are_a_function_of_seed_and_draw(rollouts):
    buffer, params = rollouts
    found = []
    for draw in (0, 0, 1):
        buffer.refresh(params, draw)
        found.append((buffer.ids, buffer.context))
    assert np.array_equal(found[0][1], found[1][1])
    assert not np.array_equal(found[0][0], found[2][0])


def test_training_dreams_anew_and_learns_from_it(footage, tmp_path, monkeypatch):
    dreamed, refresh = [], Rollouts.refresh

    def spy(self, params, draw):
        refresh(self, params, draw)
        dreamed.append(draw)

    monkeypatch.setattr(Rollouts, "refresh", spy)
    world = fit(
        [footage.path], tmp_path / "run", preset=dataclasses.replace(RECIPE, refresh_count=2), num_train_steps=24
    )
    assert dreamed == [1, 2]
    assert np.isfinite(world.params["dynamics"]["out_proj"]["kernel"]).all()
