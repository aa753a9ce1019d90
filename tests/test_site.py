"""Documentation on GitHub and as a site: every page is in the menu, every link leads somewhere, no room is left out.

`make docs` builds the site itself; this finds out without MkDocs what would be wrong with it.
"""

from __future__ import annotations

import configparser
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import dexzoo

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SITE: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
ROOMS = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"experiments"}


def leaves(menu: Any) -> Iterator[str]:
    """The files of a menu."""
    if isinstance(menu, str):
        yield menu
    else:
        for part in menu.values() if isinstance(menu, dict) else menu:
            yield from leaves(part)


def links(page: Path) -> list[str]:
    """Relative links and pictures of a page, code left out."""
    text = re.sub(r"^```.*?^```$|`[^`]*`", "", page.read_text(), flags=re.M | re.S)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?:|mailto:|#", link)]


def test_all_pages_are_in_the_menu() -> None:
    assert sorted(leaves(SITE["nav"])) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_on_github_and_in_the_site(page: Path) -> None:
    for link in links(page):
        target = (page.parent / link.partition("#")[0]).resolve()
        assert target.exists(), link
        assert page.parent == ROOT or DOCS in target.parents, f"{link} leads out of the site"


def test_every_room_has_a_page_of_its_own_and_every_name_in_it_exists() -> None:
    assert {page.stem for page in (DOCS / "api").iterdir()} == ROOMS
    for page in (DOCS / "api").iterdir():
        for name in re.findall(r"^::: dexzoo\.?(\S*)$", page.read_text(), re.M):
            place = ROOT.joinpath(*name.split(".")) if name else ROOT / "dexzoo"
            assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file(), name


def test_nothing_is_fetched_from_elsewhere() -> None:
    assert SITE["theme"]["font"] is False
    added = [url for key in ("extra_css", "extra_javascript") for url in SITE.get(key, [])]
    assert not any(str(url).startswith("http") for url in added)


def test_fences_with_a_file_name_become_titles() -> None:
    page = "```python models/a.py\nx\n```\n```bash slow\ny\n```\n```bash\n"
    shown = '```python title="models/a.py"\nx\n```\n```bash\ny\n```\n```bash\n'
    assert runpy.run_path(str(DOCS / "hooks.py"))["on_page_markdown"](page) == shown


def test_one_version_everywhere() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["metadata"]["version"] == "attr: dexzoo.__version__"
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    assert (cited["version"], str(cited["date-released"])) == newest.groups()
    assert dexzoo.__version__ == newest[1]
