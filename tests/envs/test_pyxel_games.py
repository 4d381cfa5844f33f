import subprocess
import sys

import numpy as np
import pytest

from tests.commands import environment
from worldsim.env import check_world_env

pytest.importorskip("pyxel")
pytest.importorskip("cv2")


@pytest.mark.parametrize("game", ["jump", "jump-tall", "shooter", "snake"])
def test_pyxel_games_keep_the_contract(game, seen):
    check_world_env(lambda: seen(game))


def test_an_episode_depends_on_its_seed_only_whatever_was_played_before(player):
    jump, shooter = player("jump"), player("shooter")
    first = jump.trace(seed=4)
    shots = shooter.trace(seed=4)
    jump.trace(seed=5, num_steps=17)
    np.testing.assert_array_equal(jump.trace(seed=4), first)
    np.testing.assert_array_equal(shooter.trace(seed=4), shots)
    assert not np.array_equal(jump.trace(seed=6)[0], first[0])


def test_two_games_of_one_program_can_take_turns(player):
    one, two = player("jump"), player("jump")
    alone = one.trace(seed=1, num_steps=20)
    one.reset(1), two.reset(2)
    for label in ("left", "noop", "right", "right"):
        one.step(label), two.step("left")
    again = player("jump").reset(1)
    for label in ("left", "noop", "right", "right"):
        again.step(label)
    np.testing.assert_array_equal(one.obs, again.obs)
    np.testing.assert_array_equal(one.trace(seed=1, num_steps=20), alone)


def test_a_game_whose_screen_another_program_took_says_so(player):
    jump, shooter = player("jump").reset(0), player("shooter")
    shooter.reset(0)
    with pytest.raises(RuntimeError, match="now shows 'shooter', not 'jump'.*reset"):
        jump.step("noop")


@pytest.mark.parametrize("game", ["jump", "shooter"])
def test_left_moves_the_player_left_and_right_moves_it_right(game, player):
    played = player(game).reset(0)
    while (
        not 0.5 < played.state["player_y"] < 0.9 or played.state.get("player_dy", 1) < 0
    ):  # jump begins above the picture
        played.step(played.scripted())
    for label, sign in (("left", -1), ("right", 1)):
        before = played.state["player_x"]
        for _ in range(3):
            played.step(label)
        assert np.sign(played.state["player_x"] - before) == sign
    still = played.state["player_x"]
    played.step("noop")
    assert played.state["player_x"] == still


def test_the_state_says_where_the_player_is_drawn(player):
    jump = player("jump").reset(3)
    rules = jump.game._rules
    while not 0.2 < jump.state["player_y"] < 0.8:
        jump.step(jump.scripted())
    assert not np.isnan(jump.state["player_x"])
    with_player = jump.env.render()
    rules._app.player_x += 1000
    jump.game._module.draw()
    rows, columns = np.nonzero((with_player != jump.env.render()).any(-1))
    x, y = jump.place("player")
    assert x - 8.01 < columns.min() and columns.max() < x + 8 and columns.max() - columns.min() > 6
    assert y - 8.01 < rows.min() and rows.max() < y + 8 and rows.max() - rows.min() > 9


@pytest.mark.parametrize("seed", range(4))
def test_tall_jump_shows_its_player_in_every_frame_until_it_falls(seed, player):
    jump = player("jump-tall").reset(seed)
    highest = 1.0
    for step in range(300):
        if jump.step(jump.scripted() if step % 3 else "right") or jump.state["player_y"] > 0.95:
            break
        assert 0 <= jump.state["player_x"] < 1 and jump.state["player_y"] >= 0
        highest = min(highest, jump.state["player_y"])
    assert highest < 0.3, "it has been above the game's own screen, whose top is at 0.4"


def test_what_the_game_writes_stays_in_the_corner_of_the_picture(player):
    jump = player("jump-tall", size=(200, 160)).reset(0)
    white = (jump.obs[:12, :60] == 255).all(-1) | (jump.obs[:12, :60].min(-1) > 230)
    assert white.any(), "the score"
    assert jump.game._module.height == 120, "the game goes by its own height"


def test_tall_jump_is_jump_with_rows_above_it(player):
    pictures = []
    for game, size in (("jump", (120, 160)), ("jump-tall", (200, 160))):  # one after the other: the screen is one
        played = player(game, size=size).reset(5)
        for label in ("left", "noop", "right", "right"):
            played.step(label)
        pictures.append(played.obs)
    same = (pictures[1][80:] == pictures[0]).all(-1)
    assert same[12:].all() and not same[:12].all(), "all but the score, which is at the top of each picture"


def test_jump_ends_when_the_player_has_fallen_out_of_the_picture(player):
    jump = player("jump").reset(1)
    while not jump.step("left"):
        assert np.isnan(jump.state["player_y"]) or jump.state["player_y"] < 1
    assert jump.terminated and np.isnan(jump.state["player_y"])
    with pytest.raises(Exception, match="call reset"):
        jump.step("left")


def test_rewards_add_up_to_the_score(player):
    jump = player("jump").reset(2)
    total = 0.0
    for _ in range(200):
        jump.step(jump.scripted())
        total += jump.reward
    assert total > 0 and total == pytest.approx(jump.state["score"] / 100)


def test_a_longer_frame_skip_is_the_same_game_at_fewer_pictures(player):
    fine, coarse = player("jump", frame_skip=1).reset(7), player("jump", frame_skip=4).reset(7)
    fine.reset(7)
    for label in ("left", "right", "noop"):
        for _ in range(4):
            fine.step(label)
    for label in ("left", "right", "noop"):
        coarse.step(label)
    np.testing.assert_array_equal(fine.obs, coarse.obs)
    assert coarse.about["render_fps"] == fine.about["render_fps"] / 4


def test_pictures_are_area_averages_of_the_native_ones(player):
    jump = player("jump", size=(60, 80)).reset(0)
    native = jump.env.render()
    assert native.shape == (120, 160, 3)
    mean = native.reshape(60, 2, 80, 2, 3).mean((1, 3))
    np.testing.assert_allclose(jump.obs, mean, atol=0.51)


@pytest.mark.parametrize(
    ("game", "num_steps", "least"), [("jump", 300, 5.0), ("shooter", 150, 15.0), ("snake", 300, 6.0)]
)
def test_the_scripted_player_survives_and_scores(game, num_steps, least, player):
    played = player(game).reset(11)
    total = 0.0
    for _ in range(num_steps):
        assert not played.step(played.scripted())
        total += played.reward
    assert total > least


def test_a_snake_turns_to_the_key_that_is_held_and_never_back(player):
    snake = player("snake").reset(0)
    for label, ahead in (("noop", (1, 0)), ("left", (1, 0)), ("down", (0, 1)), ("up", (0, 1)), ("right", (1, 0))):
        x, y = snake.place("player")
        snake.step(label)
        after = snake.place("player")
        assert (round(after[0] - x), round(after[1] - y)) == ahead, label


def test_an_apple_is_a_point_and_a_cell_and_lies_elsewhere_then(player):
    snake = player("snake").reset(3)
    apple, length = snake.place("apple"), snake.state["length"]
    while snake.state["length"] == length:
        assert not snake.step(snake.scripted())
    assert (snake.reward, snake.state["length"]) == (1.0, length + 1)
    assert snake.place("player") == pytest.approx(apple) and snake.place("apple") != pytest.approx(apple)


def test_a_snake_that_leaves_the_field_is_dead(player):
    snake = player("snake").reset(1)
    last = snake.obs
    while not snake.step("right"):
        last = snake.obs
    assert snake.terminated and np.isnan(snake.state["player_x"])
    np.testing.assert_array_equal(snake.obs, last, "the last picture of play, and no screen that says it is over")


def test_a_game_leaves_the_working_directory_alone(tmp_path):
    code = (
        "import os, gymnasium, worldsim_envs; before = os.getcwd(); "
        "gymnasium.make('worldsim_envs/snake-v0').reset(seed=0); assert os.getcwd() == before, os.getcwd()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment())
