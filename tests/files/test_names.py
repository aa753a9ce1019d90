"""The nearest name, by examples that a person would decide alike."""

import pytest

from dexzoo.files.names import did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("optimiser.lr", ["model.optimizer.lr", "model.loss"], "model.optimizer.lr"),
        ("max_epoch", ["trainer.max_epochs", "data.epochs"], "trainer.max_epochs"),
        ("motionet", ["motionnet", "motion_flow", "goal"], "motionnet"),
        ("FFJ1", ["ffj1", "ffj2"], "ffj1"),
        ("xyz", ["model", "data"], None),
        ("anything", [], None),
    ],
)
def test_the_nearest_name(name, known, expected):
    assert nearest(name, known) == expected
    assert did_you_mean(name, known) == (f"; did you mean {expected!r}?" if expected else "")
