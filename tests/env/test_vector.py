"""Many worlds in one batch: which of them are reset, and when."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from tests.env.fake import BOTH, FakeSimulator, make_vec
from worldsim.env import WorldEnv, WorldVectorEnv


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_one_seed_gives_the_whole_batch_again_bit_for_bit(mode):
    runs = []
    for env in (make_vec(lifetime=4, autoreset_mode=mode), make_vec(lifetime=4, autoreset_mode=mode)):
        frames = [env.reset(seed=11)[0]]
        frames += [env.step(env.action_space.sample())[0] for _ in range(4)]
        if mode is not AutoresetMode.DISABLED:
            frames += [env.step(env.action_space.sample())[0] for _ in range(6)]
        runs.append(np.stack(frames))
    np.testing.assert_array_equal(*runs)
    assert (runs[0][0, 0] != runs[0][0, 1]).any()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_batch_is_the_single_worlds_side_by_side(mode):
    """Gymnasium's own vector environment, around one world each, gives the same bits, ends and infos."""
    batch = make_vec(3, lifetime=4, horizon=3, autoreset_mode=mode)
    apart = SyncVectorEnv([lambda: WorldEnv(FakeSimulator(lifetime=4), horizon=3)] * 3, autoreset_mode=mode)
    (obs, info), (wanted, wanted_info) = batch.reset(seed=7), apart.reset(seed=7)
    np.testing.assert_array_equal(obs, wanted)
    check_info(info, wanted_info)
    assert info["step"].tolist() == [0, 0, 0] and len(set(info["start"].tolist())) > 1
    for _ in range(3 if mode is AutoresetMode.DISABLED else 9):
        action = batch.action_space.sample()
        came, wanted = batch.step(action), apart.step(action)
        for x, y in zip(came[:4], wanted[:4]):
            np.testing.assert_array_equal(x, y)
            assert x.dtype == y.dtype
        check_info(came[4], wanted[4])


def check_info(came, wanted):
    """The same where its mask says that there is something; a key that nobody has may be missing."""
    assert set(wanted) <= set(came)
    for name in (x for x in came if not x.startswith("_")):
        mask = came["_" + name]
        np.testing.assert_array_equal(mask, wanted.get("_" + name, np.zeros(len(mask), bool)))
        if name == "final_info":
            check_info(came[name], wanted[name])
        elif mask.any():
            np.testing.assert_allclose(np.stack(list(came[name][mask])), np.stack(list(wanted[name][mask])))


def test_the_worlds_of_a_batch_take_a_seed_each():
    env, single = make_vec(3), WorldEnv(FakeSimulator())
    obs, _ = env.reset(seed=[4, 9, None])
    for world, seed in ((0, 4), (1, 9)):
        np.testing.assert_array_equal(obs[world], single.reset(seed=seed)[0])
    with pytest.raises(ValueError, match="one for each of 3 worlds, for seed, got 2"):
        env.reset(seed=[1, 2])


def test_next_step_resets_a_world_on_the_step_after_its_end():
    env = make_vec(3, lifetime=2)
    env.reset(seed=0)
    actions = np.array([1, 2, 0])
    env.step(actions)
    _, reward, terminated, truncated, _ = env.step(actions)
    assert terminated.all() and not truncated.any() and reward.tolist() == [1.0, 2.0, 0.0]
    _, reward, terminated, _, info = env.step(actions)
    assert not terminated.any() and not reward.any() and not info["_uncertainty"].any()
    env.step(actions)
    assert env.step(actions)[2].all()


def test_same_step_gives_the_last_frame_beside_the_first_of_the_next_episode():
    env, plain = make_vec(3, lifetime=2, autoreset_mode="SameStep"), make_vec(3, lifetime=2)
    for e in (env, plain):
        e.reset(seed=0)
        e.step(np.ones(3, int))
    obs, reward, terminated, _, info = env.step(np.ones(3, int))
    last = plain.step(np.ones(3, int))[0]
    assert terminated.all() and reward.tolist() == [1.0] * 3
    np.testing.assert_array_equal(np.stack(list(info["final_obs"])), last)
    assert info["_final_obs"].all() and info["final_info"]["uncertainty"].tolist() == pytest.approx([0.2] * 3)
    assert (obs != last).any()
    assert not env.step(np.ones(3, int))[2].any()


def test_only_the_worlds_that_are_over_are_reset():
    env = make_vec(5, horizon=6, autoreset_mode=AutoresetMode.SAME_STEP)
    env.reset(seed=0)
    for _ in range(3):
        obs = env.step(np.ones(5, int))[0]
    mask = np.array([True, False, True, False, False])
    fresh, _ = env.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(fresh[~mask], obs[~mask])
    assert (fresh[mask] != obs[mask]).any(axis=(1, 2, 3)).all()
    ends = [env.step(np.ones(5, int))[3] for _ in range(6)]
    np.testing.assert_array_equal(ends[2], ~mask)
    np.testing.assert_array_equal(ends[5], mask)


def test_disabled_leaves_the_reset_to_the_caller():
    env = make_vec(3, horizon=1, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    assert env.step(np.zeros(3, int))[3].all()
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(3, int))
    env.reset(options={"reset_mask": np.ones(3, bool)})
    assert env.step(np.zeros(3, int))[3].all()


@pytest.mark.parametrize("mode", ["SAME_STEP", "SameStep", AutoresetMode.SAME_STEP])
def test_an_autoreset_mode_goes_by_its_name_too(mode):
    assert make_vec(3, autoreset_mode=mode).autoreset_mode is AutoresetMode.SAME_STEP


def test_an_autoreset_mode_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="expected NEXT_STEP, SAME_STEP, DISABLED for autoreset_mode, got 'NEVER'"):
        make_vec(3, autoreset_mode="NEVER")


@pytest.mark.parametrize(("limit", "horizon", "end"), [(3, 5, 3), (5, 3, 3), (-1, 4, 4), (4, None, 4)])
def test_make_vec_takes_gymnasiums_limit_beside_the_horizon(limit, horizon, end):
    settings = {"world": FakeSimulator(), "horizon": horizon, "max_episode_steps": limit}
    env = gym.make_vec("worldsim/World-v0", num_envs=2, **settings)
    env.reset(seed=0)
    ends = [env.step(np.zeros(2, int))[3].tolist() for _ in range(end)]
    assert ends == [[False, False]] * (end - 1) + [[True, True]]


def test_an_environment_that_is_closed_says_so():
    batch, single = make_vec(2), WorldEnv(FakeSimulator())
    for env, action in ((batch, np.zeros(2, int)), (single, 0)):
        env.reset(seed=0)
        env.close()
        env.close()
        with pytest.raises(ClosedEnvironmentError, match="after close"):
            env.step(action)
        with pytest.raises(ClosedEnvironmentError, match="after close"):
            env.reset()


def test_attributes_and_methods_are_those_of_every_world():
    env = make_vec(3, render_mode="rgb_array")
    obs, _ = env.reset(seed=0)
    np.testing.assert_array_equal(np.stack(env.call("render")), obs)
    assert env.get_attr("render_mode") == env.call("render_mode") == ("rgb_array",) * 3
    env.set_attr("render_mode", [None] * 3)
    assert env.get_attr("render_mode") == (None,) * 3
    with pytest.raises(ValueError, match="which the worlds of a batch share"):
        env.set_attr("render_mode", [None, "rgb_array", None])
    with pytest.raises(ValueError, match="expected an attribute of the batch, got speed"):
        env.set_attr("speed", 3)


@pytest.mark.parametrize("mask", [np.zeros(3, bool), np.ones(2, bool), np.ones(3, int)])
def test_a_reset_mask_that_does_not_fit_is_refused(mask):
    with pytest.raises(ValueError, match="expected bool.* for reset_mask"):
        make_vec(3).reset(options={"reset_mask": mask})


def test_batched_mixed_actions_reach_their_world():
    env = WorldVectorEnv(4, FakeSimulator(BOTH))
    env.reset(seed=0)
    env.action_space.seed(0)
    action = env.action_space.sample()
    reward = env.step(action)[1]
    wanted = action["choices"].sum(-1) + action["buttons"].sum(-1) + action["axes"].sum(-1)
    np.testing.assert_allclose(reward, wanted, rtol=1e-5)
