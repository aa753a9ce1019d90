"""Pages for GitHub and for MkDocs alike: a fence may name its file, as in "```python models/motion/pace.py"."""

import re
from typing import Any

_FENCE = re.compile(r"^(```\w+) (\S+)$", re.M)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Shows the name of a block's file above it; `slow` is a word for the tests."""
    return _FENCE.sub(lambda found: found[1] if found[2] == "slow" else f'{found[1]} title="{found[2]}"', markdown)
