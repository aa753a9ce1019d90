"""A tiny SAGA-hand and clips of unequal lengths, for its tests."""

from dataclasses import replace
from functools import partial

import torch

from dexzoo.models.motion.saga import SagaHand, SagaSynthesis

TINY = partial(SagaHand, n_points=30, latent=8, channels=(4, 4, 8, 8, 8))
LENGTHS = (21, 9, 15, 2, 20, 21)
WEIGHTS = {
    "body": 1.0,
    "body_velocity": 1.0,
    "contact": 0.05,
    "image_kl": 0.5,
    "path": 1.0,
    "path_first": 0.5,
    "path_last": 0.5,
    "path_velocity": 1.0,
    "path_kl": 0.5,
}


def cut(clips):
    """The clips cut to `LENGTHS`; the last frame of each is its goal."""
    short = []
    for clip, n in zip(clips, LENGTHS, strict=True):
        pose = clip.pose[:n]
        still = {"object_rotation": clip.object_rotation[:n], "object_translation": clip.object_translation[:n]}
        short.append(replace(clip, pose=pose, goal=pose[-1], **still))
    return short


def tiny_model(hand, clips):
    """Untrained, with the statistics of the clips."""
    torch.manual_seed(0)
    model = TINY(hand).eval()
    model.fit_statistics(clips, [])
    # Untrained, it draws points that are no hand; close to their means they are about one.
    for parameter in model.local_fill.dec_conv.dec_blc5.deconv2.parameters():
        parameter.data *= 0.1
    return model


def make_task(**options):
    adam = partial(torch.optim.Adam, lr=1e-3)
    schedule = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.1)
    tiny = partial(TINY, n_points=16, channels=(4, 4))
    return SagaSynthesis(
        network=tiny,
        hand="shadow",
        loss=WEIGHTS,
        optimizer=adam,
        scheduler=schedule,
        n_draws=2,
        clips_per_batch=2,
        **options,
    )
