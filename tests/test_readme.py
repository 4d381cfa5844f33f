"""The README keeps its word: its commands parse, its Python runs, its links and pictures lead somewhere."""

import os
import re
import shlex
from pathlib import Path

import pytest

from worldsim import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands():
    """Every `worldsim ...` line of the pages, without its comment."""
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8"), "(?:bash|sh|shell)?"):
            for line in block.splitlines():
                if line.startswith("worldsim "):
                    yield pytest.param(shlex.split(line, comments=True)[1:], id=line[:60])


@pytest.mark.parametrize("args", list(commands()))
def test_every_command_of_the_pages_parses(args):
    cli.parse(args)


def test_the_readme_names_the_two_commands_and_the_makefile_has_them():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test", "check"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_continuous_integration_runs_what_the_readme_names():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [x for x in lines if x.startswith("make")] == ["make check", "make test"]


def test_links_and_pictures_of_the_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, untrained_world):
    (tmp_path / "runs" / "jump").mkdir(parents=True)
    os.symlink(untrained_world, tmp_path / "runs" / "jump" / "world")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["out"].obs.shape == (4, 16, 16, 3)
