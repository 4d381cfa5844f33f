"""The examples of docs/footage.md run, in order, beside a footage folder."""

import re
import shutil
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "footage.md"


def test_the_examples_of_the_footage_page_run(toy_footage, tmp_path, monkeypatch):
    shutil.copytree(toy_footage.path, tmp_path / "footage")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(examples) == 3
    names: dict = {}
    for example in examples:
        exec(compile(example, str(DOCS), "exec"), names)
    assert names["batch"].obs.shape == (8, 16, *toy_footage.meta.size, 3)
    assert len(names["clip"]) == 7
    assert len(list((tmp_path / "copy/episodes").iterdir())) == 1


def test_the_page_names_every_field_of_the_files(toy_footage):
    text = DOCS.read_text()
    for name in (*toy_footage.meta.to_json(), *toy_footage.episodes[0].to_json(), *toy_footage.meta.columns):
        assert f"`{name}`" in text, name
