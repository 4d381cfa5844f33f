"""A name or a prompt finds its world."""

import pytest

from tests.world.bundles import make_world
from worldsim.places import FIRST, SHIPPED
from worldsim.world import list_worlds, load_world, save_world


@pytest.fixture
def three_worlds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("worldsim.places.SHIPPED", ())
    save_world(make_world("pong-small", game="pong", prompts=("pong", "table tennis")), "checkpoints/pong-small")
    save_world(make_world("doom-takecover", prompts=("doom", "take cover", "둠")), "checkpoints/doom-takecover")
    save_world(make_world("jump", title="Jump from floe to floe"), "runs/monday/world")


@pytest.mark.parametrize(
    "said, meant",
    [
        ("pong", "pong-small"),
        ("play pong please", "pong-small"),
        ("Table tennis, please!", "pong-small"),
        ("doom-takecover", "doom-takecover"),
        ("a game of DOOM", "doom-takecover"),
        ("둠, 어두운 복도", "doom-takecover"),
        ("jump", "jump"),
        ("monday", "jump"),
        ("runs/monday", "jump"),
        ("runs/monday/world", "jump"),
        ("the one with the floe", "jump"),
    ],
)
def test_a_name_or_a_prompt_finds_its_world(three_worlds, said, meant):
    assert load_world(said).card.name == meant


@pytest.mark.parametrize("said", ["minecraft", "", "play a game", "../pong", "pingpong"])
def test_a_prompt_that_means_nothing_lists_what_exists(three_worlds, said):
    if said == "../pong":
        said = "../nothing"
    with pytest.raises(ValueError, match="doom-takecover, jump, pong-small"):
        load_world(said)


def test_listing_leaves_out_what_is_broken(three_worlds, tmp_path):
    (tmp_path / "checkpoints/pong-small/card.json").write_text("{")
    assert [card.name for card in list_worlds().values()] == ["doom-takecover", "jump"]
    with pytest.raises(ValueError, match="JSON"):
        load_world("pong-small")


def test_people_read_single_values_and_metrics_keep_the_curves(tmp_path):
    numbers = {"psnr": 20.5, "curves": {"psnr": [21.25, 19.75]}, "gfvd_window": [0.125]}
    save_world(make_world(metrics={"fidelity": numbers, "command": "worldsim eval"}), tmp_path / "pong")
    text = (tmp_path / "pong" / "README.md").read_text()
    assert "| fidelity psnr | 20.5 |" in text and "Measured by `worldsim eval`" in text
    assert "21.25" not in text and "0.125" not in text
    assert load_world(tmp_path / "pong").metrics["fidelity"] == numbers


def test_the_world_of_who_names_none_is_shipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list_worlds()[SHIPPED[1] / FIRST].name == FIRST
