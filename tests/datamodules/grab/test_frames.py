"""The frame rules, counted by hand. Frame numbers in the tests are worked out in the comments, not by the code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dexzoo.datamodules.grab.frames import (
    Signals,
    elbow_onset,
    first_contact,
    goal_grasp,
    goal_reach,
    grab,
    lift_off,
    onset,
    reach,
    rotation_speed,
    saga,
)
from dexzoo.datamodules.grab.objects import bits
from dexzoo.datamodules.grab.sequence import mirrored, touching


def signals(n: int = 1070, moves: int = 27, touches: int = 199, lifts: int = 227, label: int = 41) -> Signals:
    """The wrist is > 2 cm away from frame `moves` on, the object touched from `touches`, > 4 mm up from `lifts`."""
    frame = np.arange(n)
    wrist = np.zeros((n, 3))
    wrist[frame >= moves, 1] = 0.021
    obj = np.tile([0.1, 0.2, 0.884], (n, 1))
    obj[frame >= lifts, 2] += 0.0041
    touch = np.where(frame >= touches, np.uint64(bits([label])), np.uint64(0))
    return Signals(wrist, obj, touch, np.zeros(n))


class TestMarks:
    def test_of_the_published_sequence(self) -> None:
        """hammer_use_1 of s1 has its onset at 27, contact at 199, lift-off at 227: 50 frames at 30 fps."""
        s = signals()
        assert (onset(s), first_contact(s), lift_off(s)) == (27, 199, 227)
        frames = reach(s).frames  # 28, 32, ..., 224
        assert (frames[0], frames[-1], len(frames)) == (28, 224, 50)

    def test_thresholds_are_strict(self) -> None:
        s = signals(10)
        still = replace(s, object=np.tile([0.0, 0.0, 0.5], (10, 1)), wrist=np.zeros((10, 3)))
        still.object[4:, 2] += 0.0039
        still.wrist[3:, 0] = 0.0199
        assert (lift_off(still), onset(still), first_contact(still)) == (None, None, None)
        still.object[6:, 2] += 0.0002
        still.wrist[8:, 0] = 0.0201
        assert (lift_off(still), onset(still)) == (6, 8)

    def test_falling_is_no_lift(self) -> None:
        s = signals(20, lifts=10)
        assert lift_off(replace(s, object=-s.object)) is None

    @pytest.mark.parametrize(("label", "is_contact"), [(22, True), (41, True), (55, True), (21, False), (40, False)])
    def test_contact_of_the_right_hand_is_palm_or_fingers(self, label: int, is_contact: bool) -> None:
        assert first_contact(signals(10, touches=5, label=label)) == (5 if is_contact else None)


class TestReach:
    def test_the_end_can_be_the_first_contact(self) -> None:
        frames = reach(signals(), "contact").frames  # 28, ..., 196: those before 199
        assert (frames[0], frames[-1], len(frames)) == (28, 196, 43)

    def test_start_and_end_themselves_are_left_out(self) -> None:
        frames = reach(signals(moves=28, lifts=40, touches=39)).frames
        assert frames.tolist() == [32, 36]

    @pytest.mark.parametrize(("label", "kept"), [(26, False), (53, False), (22, False), (41, True), (52, True)])
    def test_the_object_is_lifted_by_right_fingers(self, label: int, kept: bool) -> None:
        """GOAL counts neither the thumb, 53, nor the palm, 22."""
        expected = "" if kept else "no right finger touches the object at lift-off"
        assert reach(signals(label=label)).reason == expected

    def test_two_hands_are_left_out(self) -> None:
        s = signals()
        both = replace(s, touch=s.touch | np.uint64(bits([40])))
        assert reach(both).reason == "left fingers touch the object at lift-off"
        palm = replace(s, touch=s.touch | np.uint64(bits([21])))  # the left palm is no finger
        assert not reach(palm).reason

    def test_labels_count_at_lift_off_only(self) -> None:
        s = signals()
        s.touch[:226] |= np.uint64(bits([30]))
        s.touch[228:] = 0
        assert not reach(s).reason

    def test_reasons(self) -> None:
        assert reach(signals(lifts=2000)).reason == "the object is never lifted"
        assert reach(signals(moves=2000)).reason == "the hand never moves 2 cm"
        assert reach(signals(moves=220)).reason == "fewer than 2 frames at 30 fps"
        assert len(reach(signals(moves=220)).frames) == 0


class TestGoal:
    def test_start_is_the_third_fast_frame_of_the_elbow(self) -> None:
        speed = np.zeros(1070)
        speed[[50, 61, 62, 70]] = 0.61
        speed[40] = 0.6  # not above
        s = replace(signals(), elbow_speed=speed)
        assert elbow_onset(s) == 62
        frames = goal_reach(s).frames  # 64, ..., 224
        assert (frames[0], frames[-1], len(frames)) == (64, 224, 41)
        assert goal_reach(signals()).reason == "the elbow is never fast"

    def test_speed_is_the_entrywise_norm_of_the_step_times_120(self) -> None:
        """About one axis, ||R(a + d) - R(a)|| = sqrt(8) sin(d / 2)."""
        rotvec = np.zeros((4, 3))
        rotvec[:, 1] = [0.3, 0.3, 0.31, 0.5]
        expected = 120 * np.sqrt(8) * np.sin(np.array([0, 0.01, 0.19]) / 2)
        np.testing.assert_allclose(rotation_speed(rotvec), [0, *expected], atol=1e-9)

    def test_grasps_are_near_their_place_and_held_by_right_fingers(self) -> None:
        n = 100
        obj = np.tile([1.0, 2.0, 0.8], (n, 1))
        obj[10:, 2] = 0.8051  # > 5 mm from frame 10
        obj[20:30, 2] = 0.7949  # below counts as well
        obj[30:, 2] = 0.949
        obj[60:, 2] = 0.951  # 15 cm reached
        obj[40:50, :2] = [1.06, 2.08001]  # 10 cm away
        touch = np.full(n, bits([52]), np.uint64)
        touch[15:18] = bits([53])
        touch[55:58] |= np.uint64(bits([26]))
        frames = goal_grasp(Signals(np.zeros((n, 3)), obj, touch, np.zeros(n))).frames
        expected = [*range(10, 15), *range(18, 40), *range(50, 55), 58, 59]
        assert frames.tolist() == expected


class TestOthers:
    def test_grab_keeps_every_contact(self) -> None:
        touch = np.zeros(9, np.uint64)
        touch[[2, 3, 7]] = [bits([1]), bits([41]), bits([0])]  # label 0 is no contact
        s = replace(signals(9), touch=touch)
        assert grab(s).frames.tolist() == [2, 3]
        assert grab(replace(s, touch=np.zeros(9, np.uint64))).reason == "nothing touches the object"

    def test_saga_takes_the_last_62_frames_before_lift_off(self) -> None:
        frames = saga(signals(lifts=300)).frames  # 299 - 4 x 61 = 55
        assert (frames[0], frames[-1], len(frames)) == (55, 299, 62)
        assert set(np.diff(frames)) == {4}

    def test_saga_repeats_frame_0_in_front_of_a_short_one(self) -> None:
        frames = saga(signals(lifts=102, touches=90, moves=5)).frames  # 101, 97, ..., 1: 26 frames, then 0
        assert len(frames) == 62
        assert frames[-26:].tolist() == list(range(1, 102, 4))
        assert not frames[:-26].any()


class TestLabels:
    def test_touching_is_the_set_of_labels_of_a_frame(self) -> None:
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 56, (150, 20)).astype(np.int8)
        found = touching(labels)
        for row, number in zip(labels.tolist(), found.tolist(), strict=True):
            assert {k for k in range(64) if number >> k & 1} == set(row)

    def test_mirroring_exchanges_the_hands(self) -> None:
        pairs = {21: 22, 22: 21, 26: 41, 40: 55, 41: 26, 55: 40, 5: 5, 25: 25, 0: 0}
        for label, other in pairs.items():
            assert int(mirrored(np.array([bits([label])], np.uint64))[0]) == bits([other])
