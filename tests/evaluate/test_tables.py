import json

import pytest

from experiments import tables

README = "# x\n<!-- table: worlds -->\nold\n<!-- end -->\ntext\n" + "".join(
    f"<!-- table: {name} -->\n<!-- end -->\nend\n" for name in ("results", "evaluation", "phyworld", "agents", "dreams")
)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "experiments" / "results"
    folder.mkdir(parents=True)
    numbers = {
        "fidelity": {"psnr_free_16": 24.5, "psnr_free_16_sd": 0.25, "psnr_copy_last_16": 20.0, "psnr_tokenizer": 40.0},
        "control": {"action_following": None},
        "objects": {f"{p}_error_free_32{end}": 0.5 for p in ("player", "enemy") for end in ("", "_sd")},
    }
    (folder / "world_pong.json").write_text(json.dumps(numbers))
    return tmp_path


def test_numbers_come_with_their_spread_and_their_file(root):
    text = tables.render(README, root)
    assert f"4.50 {tables.PM} 0.25 | 3 | 6 | [world_pong](experiments/results/world_pong.json)" in text
    assert f"paddle error, 32 dreamed frames, px at 64 | 0.50 {tables.PM} 0.50" in text
    assert "| 40.00 | 38 | 42 |" in text


def test_what_was_not_measured_is_left_out(root):
    text = tables.render(README, root)
    assert "action following" not in text and "`jump`" not in text
    assert "old" not in text and "| world |" not in text


def test_headline_numbers_stand_between_their_references(root):
    path = root / "experiments" / "results" / "world_pong.json"
    numbers = json.loads(path.read_text())
    numbers["uncertainty"] = {"crps_skill": 0.5, "crps_skill_sd": 0.02}
    numbers["fidelity"] |= {"psnr_free_64": 30.0, "psnr_copy_last_64": 20.0}
    path.write_text(json.dumps(numbers))
    text = tables.render(README, root)
    assert f"| CRPS skill, 19 dreams | 0.50 {tables.PM} 0.02 (0 .. 1) |" in text
    assert "| PSNR of 64 dreamed frames, dB | 30.0 (20.0 .. 40.0) |" in text


def test_readme_leaves_out_what_is_not_measured_yet(root):
    results = root / "experiments" / "results"
    for row in tables.HEADLINE:
        if not (path := results / f"{row.file}.json").exists():
            path.write_text((tables.ROOT / "experiments" / "results" / path.name).read_text())
    world = results / "world_jump.json"
    numbers = {key: x for key, x in json.loads(world.read_text()).items() if key != "realism"}
    world.write_text(json.dumps(numbers))
    assert "`jump`: realism" not in (before := "\n".join(tables.headline_table(root)))
    world.write_text(json.dumps(numbers | {"realism": {"score_4s": 0.25, "score_4s_sd": 0.05}}))
    [line] = set(tables.headline_table(root)) - set(before.split("\n"))
    assert line.startswith("| `jump`: realism after 4 s") and f"0.25 {tables.PM} 0.05" in line


def test_phyworld_stands_beside_its_floors(root):
    split = {"velocity_error": 0.5, "velocity_error_sd": 0.1, "velocity_error_floor": 0.01}
    found = {part: split | {"velocity_error_copy_last": 2.0} for part in ("in", "out")}
    found["out"] = found["out"] | {"velocity_error": None}
    path = root / "experiments" / "results" / "phyworld.json"
    path.write_text(json.dumps({"uniform": found | {"preset": "tiny", "minutes": 10.05}}))
    text = tables.render(README, root)
    assert (
        f"| uniform | 0.500 {tables.PM} 0.100 | not measured | 0.010, 0.010 | 2.000, 2.000 | `tiny`, 10 min |" in text
    )


def test_rendering_twice_changes_nothing(root):
    once = tables.render(README, root)
    assert tables.render(once, root) == once
    assert once.startswith("# x\n") and once.endswith("<!-- end -->\nend\n") and "\ntext\n" in once


def test_a_missing_marker_is_an_error(root):
    with pytest.raises(ValueError, match="one place for each"):
        tables.render("nothing", root)


def test_agents_stand_beside_those_who_did_not_dream(root):
    player = {"mean": 5.0, "standard_error": 0.25}
    found = {
        "main": player | {"dream": {"mean": 7.0, "mean_length": 90.0}},
        "recording_policy": "noisy",
        "noisy": player,
    }
    (root / "experiments" / "results" / "agent_doom_takecover.json").write_text(json.dumps(found))
    text = tables.render(README, root)
    assert "reinforce" not in text  # one agent is no comparison
    assert (
        f"| doom-takecover | 5.00 {tables.PM} 0.25 | 5.00 {tables.PM} 0.25 | not measured | 7.0 in 90 steps |" in text
    )


def test_agents_of_one_world_stand_side_by_side_by_how_they_dreamed(root):
    how = {
        "objective": "reinforce",
        "max_uncertainty": None,
        "num_denoise_steps": None,
        "noise_scale": 1.0,
        "clone_fraction": 0.15,
        "minutes": 5.01,
    }
    agent = {"mean": 5.0, "standard_error": 0.25, "dream": {"mean": 7.0, "mean_length": 90.0}, "training": how}
    other = agent | {"mean": 6.0, "training": how | {"objective": "pmpo", "max_uncertainty": 0.1, "noise_scale": 1.5}}
    found = {"main": agent, "hot": other, "random": {"mean": 1.0, "standard_error": 0.1}, "recording_policy": "random"}
    (root / "experiments" / "results" / "agent_doom_takecover.json").write_text(json.dumps(found))
    text = tables.render(README, root)
    assert f"| doom-takecover | reinforce | own | 1 | 0.15 | 5 | 7 in 90 steps | 5.00 {tables.PM} 0.25 |" in text
    assert "| doom-takecover | pmpo, cut above 0.1 | own | 1.5 | 0.15 | 5 | 7 in 90 steps | 6.00" in text
