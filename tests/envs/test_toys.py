import numpy as np
import pytest

from worldsim.env import check_world_env
from worldsim_envs import memory_cards, vases


@pytest.mark.parametrize("game", ["vases", "memory-cards"])
def test_the_toys_keep_the_contract(game, seen):
    check_world_env(lambda: seen(game))


def test_a_vase_breaks_by_its_key_and_stays_broken(player):
    room = player("vases").reset(0)
    assert not any(room.state[f"vase{i}_broken"] for i in range(6))
    room.step("break 3")
    for _ in range(60):
        room.step("noop")
        assert [room.state[f"vase{i}_broken"] for i in range(6)] == [0, 0, 1, 0, 0, 0]


def test_the_truth_of_vases_is_what_the_picture_shows(player):
    room = player("vases").reset(1)
    rng, hidden = np.random.default_rng(0), 0
    for _ in range(60):
        room.step(room.labels[rng.integers(7)] if rng.random() < 0.2 else "noop")
        for i, (top, left) in enumerate(vases.CORNERS):
            box = room.obs[top : top + vases.HEIGHT, left : left + vases.WIDTH]
            covered = (box == vases.CURTAIN).all(-1).any()
            assert np.isnan(room.state[f"vase{i}_x"]) == covered
            hidden += covered
            if not covered:
                np.testing.assert_array_equal(box, vases.SPRITES[bool(room.state[f"vase{i}_broken"])])
                x, y = room.place(f"vase{i}")
                assert (x, y) == (left + 3.5, top + 6.5)
    assert hidden > 20
    assert np.abs(np.subtract(*(s.mean((0, 1)) for s in vases.SPRITES.values()))).max() > 40


def test_the_board_lies_open_once_and_a_key_turns_up_its_card(player):
    board = player("memory-cards").reset(2)
    opening = board.obs
    faces = [int(board.state[f"card{i}_face"]) for i in range(16)]
    for i, face in enumerate(faces):
        x, y = (int(k) for k in board.place(f"card{i}"))
        assert tuple(opening[y, x]) == memory_cards.COLOURS[face]
    for _ in range(memory_cards.OPENING - 1):
        np.testing.assert_array_equal(board.obs, opening)
        board.step("noop")
    board.step("noop")
    closed = board.obs
    assert not any(board.state[f"card{i}_up"] for i in range(16))
    board.step("turn 6")
    assert [board.state[f"card{i}_up"] for i in range(16)] == [i == 5 for i in range(16)]
    changed = (board.obs != closed).any(-1)
    assert changed.sum() == memory_cards.CARD**2 and changed[16:32, 16:32].sum() == changed.sum()
    assert [int(board.state[f"card{i}_face"]) for i in range(16)] == faces
    board.step("noop")
    np.testing.assert_array_equal(board.obs, closed)


def test_the_scripted_player_of_cards_asks_after_short_and_long_waits(player):
    waits, board = [], player("memory-cards")
    for seed in range(6):
        board.reset(seed)
        quiet = 0
        for _ in range(160):
            label = board.scripted()
            if label != "noop" and quiet:
                waits.append(quiet)
            quiet = 0 if label != "noop" else quiet + 1
            board.step(label)
    assert min(waits) < 6 and max(waits) > 30
