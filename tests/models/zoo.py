"""Every model at a tiny size, one line each: what the property tests go through and what `freeze.py` writes down.

A motion model is a line of MOTION and passes test_motion_models.py; a grasp model is a line of GRASP and passes
test_grasp_models.py. Then `python -m tests.models.freeze` writes its outputs to frozen.json.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from hydra.utils import get_class

from dexzoo.datamodules import PerturbHand
from dexzoo.models import (
    ContactMap,
    ContactPrediction,
    GraspCVAE,
    GraspFlow,
    GraspGeneration,
    MotionNet,
    MotionSynthesis,
    Refiner,
    Task,
)
from dexzoo.models.grasp import OfficialContactMap, OfficialGraspCVAE
from dexzoo.models.grasp.saga.fit import GraspFit
from dexzoo.models.grasp.saga.model import SagaGrasp
from dexzoo.models.grasp.unidexgrasp.model import UniDexGrasp
from dexzoo.models.motion import GoalHand, GoalSynthesis, HoldStill, Linear, MinimumJerk, TimedInterpolation
from dexzoo.models.motion.flow import FlowSynthesis, MotionFlow
from dexzoo.models.motion.saga import SagaHand, SagaSynthesis
from tests.oracles.published_layouts import OFFICIAL_WEIGHTS


@dataclass(frozen=True)
class Case:
    """A model in its task.

    Attributes:
        network: makes the model from a hand; or the dotted path of its class.
        task: makes the task from a network, a hand and an optimiser; the loss is part of it.
        steps: of Adam on the same few samples.
        rate: learning rate of the first of them.
        falls: factor by which these steps lower at least the error of a motion, or the loss of grasps.
        tolerance: of the joints (radians) and translation (metres) of the same motion computed in another way.
        dead: parts of the names of parameters that get no gradient, on purpose.
        slow: that it overfits is left to the slow tests: another setting of a model that is here, or a costly one.
    """

    network: Callable[..., Any] | str
    task: Callable[..., Task]
    steps: int = 150
    rate: float = 3e-3
    falls: float = 20.0
    tolerance: float = 1e-5
    dead: tuple[str, ...] = ()
    slow: bool = False

    def make(self) -> Any:
        """The task, seeded, for the Shadow hand."""
        network = get_class(self.network) if isinstance(self.network, str) else self.network
        torch.manual_seed(0)
        return self.task(network=network, hand="shadow", optimizer=partial(torch.optim.Adam, lr=self.rate))


# ------------------------------------------------------------------------------------------------------ motion models

MOTION_TASK = partial(MotionSynthesis, loss={"keypoints": 100.0, "joints": 5.0})
GOAL_AT = {"points": 10.0, "pose": 10.0, "near": 1.0, "offset": 2.5}
ALL_HEADS = {name: [weight, weight, 0, 0] for name, weight in GOAL_AT.items()}
NET = partial(MotionNet, n_points=24, n_object_points=32, hidden=64, dropout=0.0)
GOAL = partial(GoalHand, n_points=24, n_basis=32, width=64, bottleneck=64, dropout=0.0)
MOTION_FLOW = partial(MotionFlow, n_points=12, n_object_points=16, width=64, blocks=2)
FLOW_LOSS = {"flow": 1.0, "keypoints": 10.0}
SAGA = partial(SagaHand, n_points=30, latent=8, channels=(4, 4, 8, 8, 8))
SAGA_IMAGE = {"body": 1.0, "body_velocity": 1.0, "contact": 0.05, "image_kl": 0.5}
SAGA_LOSS = SAGA_IMAGE | {"path": 1.0, "path_first": 0.5, "path_last": 0.5, "path_velocity": 1.0, "path_kl": 0.5}

MOTION: dict[str, Case] = {
    "hold_still": Case(HoldStill, MotionSynthesis),
    "linear": Case(Linear, MotionSynthesis),
    "minimum_jerk": Case(MinimumJerk, MotionSynthesis),
    "timed": Case(TimedInterpolation, MotionSynthesis),
    "motionnet": Case(NET, MOTION_TASK),
    "one_expert": Case(partial(NET, num_experts=1), MOTION_TASK, slow=True),
    "no_attention": Case(partial(NET, joint_attention=False), MOTION_TASK, slow=True),
    "no_object": Case(partial(NET, object_feature=False), MOTION_TASK, slow=True),
    "equation_2": Case(partial(NET, time_to_go=False, gravity=False), MOTION_TASK, slow=True),
    "goal": Case(GOAL, partial(GoalSynthesis, loss=ALL_HEADS), rate=1e-2, falls=5),
    "motion_flow": Case(MOTION_FLOW, partial(FlowSynthesis, loss=FLOW_LOSS), falls=5),
    # saga fits joints to points, step by step, which carries rounding errors far
    "saga": Case(SAGA, partial(SagaSynthesis, loss=SAGA_LOSS), rate=1e-2, falls=2, tolerance=1e-2, slow=True),
}

# ------------------------------------------------------------------------------------------------------- grasp models

CONTACT = partial(ContactMap, n_hand_points=32, widths=(8, 16), width=16)
CVAE = partial(GraspCVAE, latent=8, n_object_points=64, n_hand_points=32, widths=(16, 32), hidden=(64, 64))
CVAE_LOSS = {"translation": 10.0, "rotation": 1.0, "joints": 1.0, "kl": 1e-4, "points": 10.0, "contact": 0.1}
FLOW = partial(GraspFlow, n_object_points=64, widths=(16, 32), width=128, blocks=2, draws=16, steps=4)
PUBLISHED = partial(OfficialGraspCVAE, n_object_points=64, n_hand_points=64)
PUBLISHED_LOSS = {name: weight for name, weight in OFFICIAL_WEIGHTS.items() if name != "contact"}
FROZEN = ("contact.",)
UNIDEX = partial(
    partial(UniDexGrasp, n_object_points=48, grid_level=0, n_queries=24, steps=3, width=16),
    **{"contact": CONTACT, "energy_draws": 2, "energy_points": 32},
)
UNIDEX_LOSS = {"rotation": 1.0, "pose": 1.0, "energy": 1.0}
IDLE_BIAS = "ipdf.net.implicit_model.mlps.6.bias"  # a constant on all scores, which the softmax takes out
SAGA_GRASP = partial(
    partial(SagaGrasp, n_object_points=48, n_hand_points=24, latent=4, width=32, dropout=0.0),
    **{"centres": (16, 8), "neighbours": (6, 5), "fit": GraspFit(steps=(5, 5, 10), contact=0.0, penetration=0.0)},
)
SAGA_TERMS = ("points", "object_contact", "hand_contact", "hand_to_object", "object_to_hand")
SAGA_GRASP_LOSS = dict.fromkeys(SAGA_TERMS, 0.5) | {"kl": 0.01}
IDLE_DECODER = tuple(f"contact_net.dec_{kind}{k}." for kind in ("fc", "bn") for k in (1, 2, 3))  # as published

GRASP: dict[str, Case] = {
    "grasp_cvae": Case(
        partial(CVAE, contact=CONTACT), partial(GraspGeneration, loss=CVAE_LOSS), 100, 1e-2, 3, dead=FROZEN
    ),
    "grasp_flow": Case(
        partial(FLOW, contact=CONTACT), partial(GraspGeneration, loss={"flow": 1.0}), 150, 1e-2, 3, dead=FROZEN
    ),
    "grasp_cvae_official": Case(PUBLISHED, partial(GraspGeneration, loss=PUBLISHED_LOSS), 16, 1e-3, 2),
    "unidexgrasp": Case(UNIDEX, partial(GraspGeneration, loss=UNIDEX_LOSS), 16, 1e-2, 1.2, dead=(*FROZEN, IDLE_BIAS)),
    "saga_grasp": Case(SAGA_GRASP, partial(GraspGeneration, loss=SAGA_GRASP_LOSS), 40, 1e-2, 2, dead=IDLE_DECODER),
}
AS_PUBLISHED = ("grasp_cvae_official",)
"""Grasp models that see the cloud where it is, raw: it is not centred, not standardised, and its shape not checked."""

# ------------------------------------------------------------------------------------------------- contact predictors

PREDICTION = partial(ContactPrediction, perturb=PerturbHand(translation_std=0.03))
PREDICTORS: dict[str, Case] = {
    "contact_map": Case(CONTACT, PREDICTION),
    "contact_map_regression": Case(partial(CONTACT, head="regression"), PREDICTION),
    "contact_map_official": Case(partial(OfficialContactMap, n_hand_points=32), PREDICTION),
}


def small_task(name: str) -> Task:
    """Any of these models for a short run: grasps are drawn twice, refined by ours and measured by their contact."""
    task: Any = (MOTION | GRASP | PREDICTORS)[name].make()
    if name in GRASP:
        refine = Refiner(steps=2, points=32)
        task.candidates = replace(task.candidates, n_samples=2, metrics=("contact",), refine=refine)
        task.has_contact.fill_(True)  # its weights are random
    return task
