"""MkDocs hooks: published results and model cards become part of the site, and every public name has its place.

A link to `experiments/results/x.json` or to `checkpoints/NAME` leads out of docs/, which is right for who reads the
repository. The site has copies of these files, and its links lead to them. A name of a package's `__all__` that has no
docstring, or that no page of api/ shows, is a warning, which `mkdocs build --strict` turns into a failure.
"""

import logging
import re
from pathlib import Path

import griffe
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
BESIDE_CARD = {".gif", ".png", ".json"}
log = logging.getLogger("mkdocs.hooks.worldsim")
_shown: set[str] = set()


def on_files(files, config):
    """Add the published numbers, and the model card, pictures and numbers of every shipped world."""
    sources = {f"results/{path.name}": path for path in (ROOT / "experiments" / "results").glob("*.json")}
    for bundle in (ROOT / "checkpoints").glob("*/"):
        sources[f"worlds/{bundle.name}/card.md"] = bundle / "README.md"
        sources |= {f"worlds/{bundle.name}/{x.name}": x for x in bundle.iterdir() if x.suffix in BESIDE_CARD}
    for uri, path in sources.items():
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Lead links out of docs/ to the site's copies."""
    up = "../" * page.file.src_uri.count("/")
    for folder, pattern in (("results/", r"experiments/results/([\w.]+)"), ("worlds/", r"checkpoints/(\w+)(?=\))")):
        end = "/card.md" if folder == "worlds/" else ""
        markdown = re.sub(rf"\]\((?:\.\./)+{pattern}", rf"]({up}{folder}\1{end}", markdown)
    return markdown


def on_page_content(html, page, config, files):
    """Remember which names the API reference shows."""
    if page.file.src_uri.startswith("api/"):
        _shown.update(re.findall(r'id="(worldsim[\w.]*)"', html))


def on_post_build(config):
    """Warn of public names without docstring, or without a place in the API reference."""
    library = griffe.load("worldsim", search_paths=[str(ROOT)])
    for package in [library, *_packages(library)]:
        for name in package.exports or ():
            if name.startswith("__"):
                continue
            if name not in package.all_members:
                log.warning("%s.%s is in __all__, and is neither defined nor imported there.", package.path, name)
                continue
            member = package[name]
            if member.is_module:  # of a module and a function of one name, the function is meant
                member = member[name]
            if _shown.isdisjoint({f"{package.path}.{name}", member.path, member.canonical_path}):
                log.warning("%s.%s is public, and no page of docs/api shows it.", package.path, name)
            if not member.has_docstring:
                log.warning("%s.%s is public, and has no docstring.", package.path, name)


def _packages(module):
    for child in module.modules.values():
        if child.is_init_module:
            yield child
            yield from _packages(child)
