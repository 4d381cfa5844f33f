import numpy as np
import pytest

from worldsim.env import check_world_env

pytest.importorskip("ale_py")
pytest.importorskip("cv2")

RED = [200, 72, 72]


def drawn_at(picture, colour, rows, columns=(0, 160)):
    """Centre of the pixels of a colour, found without any help from the RAM; None where there are none."""
    ys, xs = np.nonzero((picture[rows[0] : rows[1], columns[0] : columns[1]] == colour).all(-1))
    return (columns[0] + (xs.min() + xs.max()) / 2, rows[0] + (ys.min() + ys.max()) / 2) if len(xs) else None


@pytest.mark.parametrize("game", ["pong", "breakout", "freeway", "boxing"])
def test_atari_games_keep_the_contract(game, seen):
    check_world_env(lambda: seen(game))


def test_an_episode_depends_on_its_seed_only_whatever_was_played_before(player):
    pong = player("pong")
    first = pong.trace(seed=1)
    pong.trace(seed=2, num_steps=30)
    np.testing.assert_array_equal(pong.trace(seed=1), first)
    np.testing.assert_array_equal(player("pong").trace(seed=1), first)


def test_seeds_start_differently(player):
    """The emulator's own seed would not do that."""
    pong = player("pong")
    starts = [pong.reset(seed).game._ale.getEpisodeFrameNumber() for seed in range(8)]
    assert len(set(starts)) > 4 and min(starts) >= 1 and max(starts) <= 30


def check_places(played, places, num_steps):
    """Compare what the state says with what is seen, to the pixel, at every step; count sightings."""
    counts = dict.fromkeys(places, 0)
    for i in range(num_steps):
        played.step(played.scripted() if i % 40 < 30 else played.labels[1 + i // 40 % 2])
        for name, look in places.items():
            there = look(played.env.render())
            said = played.place(name)
            if there is None:
                assert np.isnan(said).all(), (i, name, said)
            elif there != "cannot tell":
                np.testing.assert_allclose(said, there, atol=1e-3, err_msg=f"{name} at step {i}")
                counts[name] += 1
    return counts


def test_pong_says_where_ball_and_paddles_are_to_the_pixel(player):
    pong = player("pong").reset(0)
    looks = {
        name: lambda picture, thing=thing: drawn_at(picture, thing["colour"], thing["rows"])
        for name, thing in pong.about["objects"].items()
    }
    counts = check_places(pong, looks, 250)
    assert min(counts.values()) > 80


def test_breakout_says_where_ball_and_paddle_are_to_the_pixel(player):
    breakout = player("breakout").reset(0)

    def ball(picture):
        if (picture[57:93, 8:152] == RED).all(-1).any() and not np.isnan(breakout.state["ball_y"]):
            row = breakout.place("ball")[1]
            if not 95 < row < 186:
                return "cannot tell"  # among bricks of its own colour, or at the paddle
        return drawn_at(picture, RED, (93, 189), (8, 152)) or "cannot tell"

    def paddle(picture):
        low = breakout.state["ball_y"] * 210 > 183
        return "cannot tell" if low else drawn_at(picture, RED, (189, 193), (8, 152))

    counts = check_places(breakout, {"ball": ball, "player": paddle}, 250)
    assert min(counts.values()) > 80


def test_freeway_says_where_the_chicken_is_to_the_pixel(player):
    freeway = player("freeway").reset(0)

    def chicken(picture):
        y = freeway.place("player")[1]
        at_divider = 95 < y < 112  # its dashes, in rows 102 and 104, have the chicken's colour
        rows = (106, 195) if y > 104 else (16, 101)
        return "cannot tell" if at_divider else drawn_at(picture, [252, 252, 84], rows, (40, 60))

    assert check_places(freeway, {"player": chicken}, 200)["player"] > 100


def test_up_moves_the_pong_paddle_up_and_down_moves_it_down(player):
    pong = player("pong").reset(0)
    for _ in range(25):
        pong.step("noop")
    for label, sign in (("up", -1), ("down", 1)):
        before = pong.state["player_y"]
        for _ in range(2):
            pong.step(label)
        for _ in range(3):
            pong.step("noop")
        assert np.sign(pong.state["player_y"] - before) == sign


def test_left_moves_the_breakout_paddle_left_and_right_moves_it_right(player):
    breakout = player("breakout").reset(0)
    for label, sign in (("left", -1), ("right", 1)):
        before = breakout.state["player_x"]
        for _ in range(3):
            breakout.step(label)
        assert np.sign(breakout.state["player_x"] - before) == sign


def test_breakout_serves_by_itself(player):
    breakout = player("breakout").reset(0)
    seen = 0
    for _ in range(60):  # long enough to lose a ball and get the next
        breakout.step("noop")
        seen += not np.isnan(breakout.state["ball_x"])
    assert breakout.state["lives"] < 5 and seen > 40


def test_a_lost_life_does_not_end_the_episode_and_the_last_one_does(player):
    breakout = player("breakout").reset(0)
    lives = []
    while not breakout.step("left"):
        lives.append(breakout.state["lives"])
    assert {5, 4, 3, 2, 1} <= set(lives) and breakout.terminated and not breakout.truncated


@pytest.mark.parametrize(
    ("game", "num_steps", "least"), [("breakout", 250, 4), ("freeway", 250, 3), ("boxing", 450, 1)]
)
def test_the_scripted_player_scores(game, num_steps, least, player):
    played = player(game).reset(1)
    total = 0.0
    for _ in range(num_steps):
        played.step(played.scripted())
        total += played.reward
    assert total >= least


def test_the_scripted_pong_player_returns_the_ball(player):
    pong = player("pong").reset(1)
    lost = 0
    for _ in range(500):
        pong.step(pong.scripted())
        lost += pong.reward < 0
    assert lost <= 2
