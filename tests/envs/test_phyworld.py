import gymnasium as gym
import numpy as np
import pytest

from worldsim.env import check_world_env
from worldsim_envs import phyworld
from worldsim_envs.phyworld import INSIDE, OUTSIDE, SCENES, WORLD, Scene, draw

ONES = [name for name in phyworld.PhyWorld.games if "collision" not in name]


def make(game, **kwargs):
    return phyworld.PhyWorld(game, **kwargs)


def film(env, seed):
    """Pictures and ground truth, by name, of a whole episode."""
    obs, info = env.reset(seed=seed)
    frames, states = [obs], [info["state"]]
    for _ in range(phyworld.NUM_FRAMES - 1):
        obs, *_, info = env.step(0)
        frames.append(obs)
        states.append(info["state"])
    return np.stack(frames), dict(zip(env.metadata["state"], np.stack(states, 1).astype(np.float64)))


def centroid(frame, colour):
    """Centre of the share of a colour in a white picture without other colours in these channels, in pixels."""
    channel = int(np.argmin(colour))
    weight = 255 - frame[..., channel].astype(float)
    y, x = np.indices(weight.shape)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("game", list(phyworld.PhyWorld.games))
def test_the_worlds_keep_the_contract(game, seen):
    check_world_env(lambda: seen(game), horizon=phyworld.NUM_FRAMES - 1)


@pytest.mark.parametrize("game", ["phyworld-uniform", "phyworld-parabola"])
def test_positions_follow_the_formula(game):
    env = make(game)
    for seed in range(5):
        _, state = film(env, seed)
        t = np.arange(phyworld.NUM_FRAMES) / phyworld.FPS
        x, y = (state[f"ball_{axis}"] for axis in "xy")
        vx, g = state["ball_vx"][0], phyworld.GRAVITY / WORLD * ("parabola" in game)
        there = np.isfinite(x)
        np.testing.assert_allclose(x[there], (x[0] + vx * t)[there], atol=1e-6)
        np.testing.assert_allclose(y[there], (y[0] + g * t**2 / 2)[there], atol=1e-6)
        np.testing.assert_allclose(state["ball_vx"], vx, atol=1e-7)
        np.testing.assert_allclose(state["ball_vy"], g * t, atol=1e-6)
        assert there[:8].all()


@pytest.mark.parametrize("split", ["in", "out"])
def test_a_collision_conserves_momentum_and_energy_and_balls_never_overlap(split):
    for seed in range(20):
        scene = phyworld.collision(np.random.default_rng(seed), split)
        mass = scene.radius**2
        assert 0.8 <= scene.contact <= 2.4
        before, after = scene.at(scene.contact - 1e-6), scene.at(scene.contact + 1e-6)
        for power in (1, 2):  # momentum, and twice the energy
            np.testing.assert_allclose(mass @ before[1] ** power, mass @ after[1] ** power, rtol=1e-9, atol=1e-12)
        assert np.abs(before[1] - after[1]).max() > 0
        np.testing.assert_allclose(before[0], after[0], atol=1e-4)
        for t in np.arange(phyworld.NUM_FRAMES) / phyworld.FPS:
            position, _ = scene.at(t)
            assert position[1, 0] - position[0, 0] >= scene.radius.sum() - 1e-9


def test_equal_balls_exchange_their_velocities_and_a_heavy_one_is_hardly_slowed():
    velocity = np.array([[3.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_allclose(phyworld.elastic(velocity, np.ones(2)), velocity[::-1], atol=1e-12)
    after = phyworld.elastic(velocity, np.array([1e9, 1.0]))
    np.testing.assert_allclose(after[:, 0], [3.0, 7.0], atol=1e-6)


@pytest.mark.parametrize("game", ["phyworld-uniform", "phyworld-uniform-out", "phyworld-parabola"])
@pytest.mark.parametrize("size", [(64, 64), (96, 96)])
def test_the_centroid_of_a_drawn_ball_is_its_centre(game, size):
    env, checked = make(game, size=size), 0
    for seed in range(4):
        frames, state = film(env, seed)
        for t, frame in enumerate(frames):
            place = np.array([state["ball_x"][t], state["ball_y"][t]]) + 0.5 / phyworld.NATIVE
            reach = state["ball_radius"][t] + 1 / 64
            if (place > reach).all() and (place < 1 - reach).all():
                error = centroid(frame, phyworld.COLOURS["ball"]) - (place * size[0] - 0.5)
                assert np.abs(error).max() < 0.05
                checked += 1
    assert checked > 40


def test_ground_truth_is_in_pixels_of_the_native_picture():
    frames, state = film(make("phyworld-uniform"), 1)
    x, y = state["ball_x"][4] * 64, state["ball_y"][4] * 64
    np.testing.assert_allclose(centroid(frames[4], phyworld.COLOURS["ball"]), [x, y], atol=0.05)


def test_two_balls_that_touch_keep_their_colours():
    picture = draw(np.array([[4.0, 5.0], [6.0, 5.0]]), np.ones(2), (64, 64), tuple(phyworld.COLOURS.values()))
    assert tuple(picture[32, 26]) == (255, 0, 0) and tuple(picture[32, 38]) == (0, 0, 255)
    assert tuple(picture[2, 2]) == (255, 255, 255)


def within(value, ranges):
    return any(low <= value <= high for low, high in ranges)


@pytest.mark.parametrize("scene", list(SCENES))
def test_the_inner_split_lies_inside_the_ranges_and_the_outer_one_outside(scene):
    rng, kinds = np.random.default_rng(0), set()
    for _ in range(200):
        inner = SCENES[scene](rng, "in")
        assert all(within(r, INSIDE["radius"]) for r in inner.radius)
        assert all(within(abs(v), INSIDE["speed"]) for v in inner.velocity[:, 0])
        outer = SCENES[scene](rng, "out")
        values = {"radius": outer.radius, "speed": np.abs(outer.velocity[:, 0])}
        out = tuple(name for name, x in values.items() if all(within(value, OUTSIDE[name]) for value in x))
        for name in values.keys() - set(out):
            assert all(within(value, INSIDE[name]) for value in values[name])
        kinds.add(out)
    assert kinds == {("radius",), ("speed",), ("radius", "speed")}


@pytest.mark.parametrize("scene", list(SCENES))
def test_balls_begin_wholly_inside_the_picture(scene):
    rng = np.random.default_rng(1)
    for split in phyworld.SPLITS:
        for _ in range(100):
            start: Scene = SCENES[scene](rng, split)
            reach = start.radius[:, None]
            assert (start.position >= reach - 1e-9).all() and (start.position <= WORLD - reach + 1e-9).all()


def test_the_split_can_be_chosen_by_option_and_by_name():
    by_name, by_option = make("phyworld-uniform-out"), make("phyworld-uniform", split="out")
    np.testing.assert_array_equal(film(by_name, 3)[0], film(by_option, 3)[0])
    assert (film(by_name, 3)[0] != film(make("phyworld-uniform"), 3)[0]).any()
    with pytest.raises(ValueError, match="for split"):
        make("phyworld-uniform", split="far")


def test_an_episode_has_32_frames_and_the_seed_decides_it():
    env = gym.make("worldsim_envs/phyworld-collision-v0")
    env.reset(seed=0)
    ends = [env.step(1)[3] for _ in range(31)]
    assert ends == [False] * 30 + [True]
    game = make("phyworld-collision")
    first, again, other = film(game, 5)[0], film(game, 5)[0], film(game, 6)[0]
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_worlds_are_drawn_without_any_optional_package(monkeypatch):
    from worldsim_envs import game

    def refuse(*args):
        raise AssertionError("no package is wanted")

    monkeypatch.setattr(game, "import_optional", refuse)
    assert make("phyworld-uniform", size=(48, 48)).reset(seed=0)[0].shape == (48, 48, 3)
