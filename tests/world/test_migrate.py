"""A bundle of the older schema becomes one of today."""

import json

import numpy as np

from experiments import migrate_bundle
from tests.world.bundles import change_card
from worldsim.world import flatten, load_world


def make_older(folder):
    """What schema 1 had."""

    def change(card):
        card |= {"schema_version": 1, "starts": card.pop("initial_contexts")}
        card["config"]["sampler"] = card.pop("sampler")
        card["training"] |= {
            "held_out_episodes": card.pop("held_out_episodes"),
            "preset": {"dynamics": {}, "frames": 8},
        }
        card["metrics"] = json.loads((folder / "metrics.json").read_text())
        del card["games"], card["footage"]["recorder"]

    change_card(folder, change)
    (folder / "metrics.json").unlink()
    (folder / "initial_contexts.safetensors").rename(folder / "starts.safetensors")
    (folder / "strip.png").write_bytes(b"a picture")


def test_an_older_bundle_is_written_anew_under_new_names(bundle, monkeypatch):
    before = load_world(bundle)
    make_older(bundle)
    monkeypatch.setattr(migrate_bundle, "PARAM_NAMES", [(r"/scale$", "/gain")])
    monkeypatch.setitem(migrate_bundle.CONFIG_NAMES, "dynamics", {"window": "context_len"})
    change_card(bundle, lambda card: card["config"]["dynamics"].update(window=8))
    for _ in range(2):  # migrated again, it stays as it is
        migrate_bundle.migrate(bundle)
        after = load_world(bundle)
        assert after.metrics == before.metrics and after.card.title == before.card.title
        assert after.card.config["dynamics"] == {"context_len": 8}
        assert after.card.training == before.card.training | {"recipe": {"frames": 8}}
        old, new = flatten(before.params), flatten(after.params)
        assert sorted(new) == sorted(name.replace("/scale", "/gain") for name in old)
        for name, x in old.items():
            np.testing.assert_array_equal(new[name.replace("/scale", "/gain")], x)
        for name, x in before.initial_contexts.items():
            np.testing.assert_array_equal(after.initial_contexts[name], x)
        assert (bundle / "strip.png").read_bytes() == b"a picture" and "(strip.png)" in (
            bundle / "README.md"
        ).read_text()
