"""For the tests of commands: what they draw is small."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dexzoo.experiments.reports import figures
from dexzoo.geometry import render
from dexzoo.metrics.tool import pictures


@pytest.fixture(scope="module", autouse=True)
def _small_pictures() -> Iterator[None]:
    """Pictures of hand and object are of at most 48 pixels: one of the usual size takes half a second."""

    def small(parts, camera, size, *ground):
        return render.render_scene(parts, camera, tuple(min(side, 48) for side in size), *ground)

    with pytest.MonkeyPatch.context() as patch:
        for module in (figures, pictures):
            patch.setattr(module, "render_scene", small)
        yield
