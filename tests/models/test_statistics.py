"""What a network is told of the data before it is trained is of the training part alone, for every model of zoo.py."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dexzoo.datamodules.grasp_store import GraspObject, GraspStore
from dexzoo.datamodules.grasps import GraspDataModule, GraspParts
from tests.models.motion.test_task import SixClips
from tests.models.zoo import GRASP, MOTION
from tests.oracles.grasps import random_grasps

WITHOUT = {"hold_still", "linear", "minimum_jerk", "goal", "grasp_cvae_official", "unidexgrasp", "saga_grasp"}
"""Models that are told nothing."""


class Given(GraspDataModule):
    title = "given grasps"

    def __init__(self, store):
        super().__init__(min_grasps_per_epoch=0)
        self.store = store

    def load(self):
        return self.store

    def split(self, whole):
        return GraspParts.by_object(whole, ["thing8"], ["thing9", "thing10", "thing11"])


def told(task, data):
    """What the network has learned of the data before its first step, by name."""
    data.setup()
    task._trainer = SimpleNamespace(datamodule=data, precision="32-true")
    task.setup("fit")
    return {name: value.clone() for name, value in task.network.state_dict().items()}


def equal(a, b):
    return all(torch.equal(value, b[name]) for name, value in a.items())


def changed(clip):
    """Backwards, at another rate, three times as far away, and with other joints."""
    pose = clip.pose[torch.arange(len(clip.pose.joints) - 1, -1, -1)]
    pose = replace(pose, translation=3 * pose.translation, joints=pose.joints.square())
    return replace(clip, pose=pose, goal=pose[-1])


@pytest.mark.parametrize("name", MOTION)
def test_of_motions(name, clips):
    def of(clips):
        task = MOTION[name].make()
        return told(task, SixClips(clips, clips_per_batch=task.clips_per_batch))

    before = of(clips)
    assert equal(before, of([*clips[:4], *map(changed, clips[4:])])), "it looks at the test clips"
    assert equal(before, of([*map(changed, clips[:4]), *clips[4:]])) == (name in WITHOUT)


@pytest.mark.parametrize("name", GRASP)
def test_of_grasps(name, hand, generator):
    grasps = random_grasps(hand, 12, generator)
    objs = [GraspObject(name) for name in grasps.objects]

    def of(which):
        factor = torch.ones(12, 1)
        factor[which] = 3.0
        pose = replace(grasps.pose, translation=factor * grasps.pose.translation, joints=grasps.pose.joints / factor)
        return told(GRASP[name].make(), Given(GraspStore.of(pose, np.arange(12), objs, grasps.object_points)))

    before = of([])
    assert equal(before, of([8, 9, 10, 11])), "it looks at the validation or test grasps"
    assert equal(before, of(range(8))) == (name in WITHOUT)
