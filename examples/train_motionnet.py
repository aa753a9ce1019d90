"""Trains a tiny MotionNet on a few demo clips in plain Python, loads it again and rolls it out on an unseen object.

python examples/train_motionnet.py OUT.ckpt
"""

import sys
from functools import partial
from typing import Any

import lightning as L
import torch

from dexzoo import motion_errors
from dexzoo.datamodules import DemoMotion
from dexzoo.models import MotionNet, MotionSynthesis

L.seed_everything(0, verbose=False)
clips: dict[str, Any] = {
    "clips": 24,
    "objects": ["mug", "apple", "jar"],
    "test_objects": ["jar"],
    "val_objects": ["apple"],
}
data = DemoMotion(**clips, batch_size=64, min_windows_per_epoch=1)  # 8 clips to train on, generated on first use
small = partial(MotionNet, hidden=32, num_experts=2)  # the task gives it the hand
loss = {"keypoints": 100.0, "rotation": 5.0, "joints": 5.0}
task = MotionSynthesis(small, "shadow", loss=loss, optimizer=partial(torch.optim.AdamW, lr=3e-3))
quiet: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
trainer = L.Trainer(max_epochs=25, limit_val_batches=0, accelerator="cpu", **quiet)
trainer.fit(task, data)
trainer.save_checkpoint(sys.argv[1])

again = MotionSynthesis(small, "shadow", loss=loss, optimizer=torch.optim.AdamW).eval()
again.load_state_dict(torch.load(sys.argv[1], weights_only=True)["state_dict"])
(batch,) = data.test_dataloader()
start, left = batch.pose[:, :1], batch.length - 1  # a rollout is given the first frame, the goal and the length
motion = again.network.rollout(start, batch.goal, left, batch.object_points, batch.fps)  # HandPose (B, T)
exists = torch.arange(motion.shape[1]) < left[:, None]
for name, pose in (
    ("MotionNet", motion),
    ("hold still", start.map(lambda x: x.expand(-1, motion.shape[1], *x.shape[2:]))),
):
    errors = motion_errors(again.hand, pose, batch.pose[:, 1:], exists)
    print(f"{name:<11} MPJPE {errors['mpjpe_cm'].mean():.2f} cm, {len(left)} clips of demo data")
