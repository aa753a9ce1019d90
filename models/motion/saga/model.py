"""SAGA-hand: the motion stage of SAGA (Wu et al., ECCV 2022, section 3.2), applied to a hand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from ....datamodules.types import FUTURE, ClipBatch, MotionBatch, MotionSample, MotionState
from ....datamodules.windows import ClipStore
from ....geometry.rotations import rot6d_to_rotmat
from ....hands.hand import Hand
from ....hands.pose import HandPose
from ...blocks.latent import Source, draw_posterior, draw_prior
from ...blocks.standardise import Standardise
from ...published.saga_motion import OFFICIAL_CHANNELS, LocalMotionFill, TrajFill
from ..base import MotionModel, widened_limits
from ..goal_pull import GoalRefine, pull_to_goal
from .fit import fit_joints
from .image import (
    COLUMNS,
    FRAMES,
    PATH,
    VELOCITIES,
    ImageScale,
    fingertip_contact,
    frame_positions,
    local_points,
    path_values,
    resample,
    tip_depths,
    velocities,
)
from .optimise import SynthesisedPath, optimise

_AT_ONCE = 64  # clips per batch for the statistics


@dataclass(frozen=True)
class SagaPrediction:
    """Both networks' reconstructions of true clips through their posteriors, and the truth, all standardised.

    Attributes:
        path, true_path: (B, 62, 9), of the palm.
        body, true_body: (B, R, 61), coordinates of the points in the palm's frame.
        contact, true_contact: (B, F, 61), logits and labels of touching fingertips; F = 0 without contacts.
        path_posterior, image_posterior: means and log-variances, (B, latent) each.
    """

    path: Tensor
    true_path: Tensor
    body: Tensor
    true_body: Tensor
    contact: Tensor
    true_contact: Tensor
    path_posterior: tuple[Tensor, Tensor]
    image_posterior: tuple[Tensor, Tensor]


class SagaHand(MotionModel):
    """Fills in the motion between the first and the goal pose: TrajFill the palm's path, LocalMotionFill the fingers.

    Every clip is resampled to 62 frames, in the frame of the first palm. TrajFill fills in the path of the palm.
    LocalMotionFill takes the velocities of that path and the surface points of the two end poses in the palm's frame
    and fills in the points in between, to which joints are fitted.

    Differences from the body networks: the palm moves in space instead of a pelvis on a floor; its full pose is the
    frame of the points; fingertips touch the object instead of feet the floor; the goal is the same frame in training
    and synthesis.

    Args:
        hand, n_points: see `MotionModel`.
        latent: number of latent variables of each network.
        channels: channels of the convolutions.
        contacts: whether images have rows of fingertip contacts, which need a cloud of the object in training.
        contact_distance: largest distance between skin and cloud at which a fingertip touches, metres.
    """

    is_stochastic = True
    supports_teacher_forcing = False

    def __init__(
        self,
        hand: Hand,
        n_points: int = 79,
        latent: int = 512,
        channels: Sequence[int] = OFFICIAL_CHANNELS,
        contacts: bool = True,
        contact_distance: float = 0.005,
    ) -> None:
        super().__init__(hand, n_points)
        self.contacts, self.contact_distance, self.latent = contacts, contact_distance, latent
        self.path_scale = Standardise(PATH)
        self.image_scale = ImageScale(n_points, len(hand.fingertip_names) if contacts else 0)
        self.traj_fill = TrajFill(FRAMES * PATH, latent)
        self.local_fill = LocalMotionFill(1 + VELOCITIES, self.image_scale.n_rows, COLUMNS, channels, latent)

    @torch.no_grad()
    def fit_statistics(self, clips: Sequence[MotionSample], windows: Iterable[MotionBatch]) -> None:
        """Computes means and standard deviations of paths, points and velocities of the training clips."""
        store, device = ClipStore.of(clips), self.path_scale.mean.device
        parts = [range(len(store))[first : first + _AT_ONCE] for first in range(0, len(store), _AT_ONCE)]
        pose = HandPose.cat([_canonical(store.clips(part).to(device)) for part in parts])
        points = [local_points(self.hand, self.surface, x) for x in pose.joints[:, :COLUMNS].split(_AT_ONCE)]
        self.path_scale.fit(path_values(pose).flatten(0, 1), 1e-2)
        self.image_scale.fit(torch.cat(points).flatten(0, 1), velocities(pose.translation, pose.rotation).flatten(0, 1))

    def predict(self, batch: ClipBatch, end_to_end: bool = True) -> SagaPrediction:
        """Runs both networks on whole clips with latents sampled from their posteriors.

        `batch`: the clips. `end_to_end`: LocalMotionFill takes the velocities of TrajFill's paths and passes gradients
        to it; False takes those of true paths. Raises ValueError: contacts need a cloud, but there is none.
        """
        scale, pose = self.image_scale, _canonical(batch)
        start, goal = batch.pose[:, 0], batch.goal
        condition = self._path_condition(goal.relative_to(start))
        true_path = self.path_scale(path_values(pose)).flatten(1)
        path_posterior = self.traj_fill.encode(true_path, condition)
        path = self.traj_fill.decode(draw_posterior(*path_posterior), condition)
        true_velocity = velocities(pose.translation, pose.rotation)
        velocity = velocities(*self._palms(path)) if end_to_end else true_velocity
        code = self._image_code(start, goal, velocity)
        true_image = self._true_image(pose, batch)
        image_posterior = self.local_fill.encode(scale.stack(true_image, true_velocity), code)
        image = self.local_fill.decode(draw_posterior(*image_posterior), code).squeeze(1)
        return SagaPrediction(
            path=rearrange(path, "b (t c) -> b t c", t=FRAMES),
            true_path=rearrange(true_path, "b (t c) -> b t c", t=FRAMES),
            body=image[:, : scale.n_body],
            true_body=true_image[:, : scale.n_body],
            contact=image[:, scale.n_body :],
            true_contact=true_image[:, scale.n_body :],
            path_posterior=path_posterior,
            image_posterior=image_posterior,
        )

    def forward(self, state: MotionState) -> HandPose:
        """Predicts the next 10 frames of the most likely motion from the current one, HandPose (B, 10)."""
        start, n_frames = state.past[:, -1], state.time_to_go.round().long()
        with torch.no_grad():
            return self._resampled(self._synthesise(start, state.goal, None), start, n_frames, FUTURE)

    @torch.no_grad()
    def rollout(
        self,
        past: HandPose,
        goal: HandPose,
        n_frames: Tensor,
        object_points: Tensor,
        fps: Tensor,
        generator: Source = None,
        goal_refine: GoalRefine = "off",
        truth: HandPose | None = None,
    ) -> HandPose:
        """Computes the whole path at once, from the last given frame; see `MotionModel.rollout`.

        Without a generator both latents are zero. `goal_refine`: for "linear" see `pull_to_goal`; "opt" is SAGA's joint
        optimisation of the whole path, see `optimise`.
        """
        self._check(past, goal)
        start = past[:, -1]
        path = self._synthesise(start, goal, generator)
        if goal_refine == "opt":
            cloud = (object_points - start.translation[:, None]) @ start.rotation
            path = optimise(self.hand, self.surface, path, goal.relative_to(start), cloud)
        out = self._resampled(path, start, n_frames, int(n_frames.max()))
        if goal_refine != "linear":
            return out
        frame = torch.arange(1, out.shape[1] + 1, device=n_frames.device)
        return pull_to_goal("linear", self.hand, self.surface, out, goal, n_frames[:, None] - frame)

    def _synthesise(self, start: HandPose, goal: HandPose, generator: Source) -> SynthesisedPath:
        """The 61 frames from the start to the goal, in the frame of the first palm."""
        z = start.translation.new_zeros(len(start.joints), 2 * self.latent)
        if generator is not None:
            z = draw_prior(len(z), 1, 2 * self.latent, generator, 1.0).squeeze(1).to(z)
        near = goal.relative_to(start)
        path = self.traj_fill.decode(z[:, : self.latent], self._path_condition(near))
        translation, rotation = self._palms(path)
        code = self._image_code(start, goal, velocities(translation, rotation))
        image = self.local_fill.decode(z[:, self.latent :], code).squeeze(1)
        points = self.image_scale.points(image)
        share = torch.linspace(0, 1, COLUMNS, device=z.device, dtype=z.dtype)
        between = _origin(start)[:, None].interpolate(near[:, None], share).joints
        lower, upper = widened_limits(self.hand, start, goal)
        limits = [x[:, None].expand_as(between).flatten(0, 1) for x in (lower, upper)]
        joints = fit_joints(self.hand, self.surface, points.flatten(0, 1), between.flatten(0, 1), *limits)
        return SynthesisedPath(
            pose=HandPose(
                translation[:, :COLUMNS], rotation[:, :COLUMNS], joints.unflatten(0, between.shape[:2]), start.hand
            ),
            points=points,
            contact=image[:, self.image_scale.n_body :].sigmoid().mT,
            lower=lower,
            upper=upper,
        )

    def _resampled(self, path: SynthesisedPath, start: HandPose, n_frames: Tensor, length: int) -> HandPose:
        """Frames 1 to `length` of clips that last `n_frames` (B,) frames after the start, world frame."""
        frame = torch.arange(1, length + 1, device=n_frames.device)
        pose = resample(path.pose, frame * ((COLUMNS - 1) / n_frames[:, None]))
        return pose.moved_by(start.rotation[:, None], start.translation[:, None])

    def _path_condition(self, goal: HandPose) -> Tensor:
        """Standardised straight path (B, 62 x 9) from the origin to the goal (B,), at constant speed."""
        share = (torch.arange(FRAMES, device=goal.joints.device) / (COLUMNS - 1)).clamp(max=1).to(goal.joints.dtype)
        return self.path_scale(path_values(_origin(goal)[:, None].interpolate(goal[:, None], share))).flatten(1)

    def _palms(self, path: Tensor) -> tuple[Tensor, Tensor]:
        """Translation (B, 62, 3), metres, and rotation (B, 62, 3, 3) of standardised paths (B, 62 x 9)."""
        values = self.path_scale.inverse(rearrange(path, "b (t c) -> b t c", t=FRAMES))
        return values[..., :3], rot6d_to_rotmat(values[..., 3:])

    def _image_code(self, start: HandPose, goal: HandPose, velocity: Tensor) -> Tensor:
        """Code of the images to fill in, from the end poses (B,) and the velocities (B, 61, 6) in between."""
        ends = local_points(self.hand, self.surface, torch.stack([start.joints, goal.joints], dim=1))
        return self.local_fill.condition(self.image_scale.stack(self.image_scale.masked(ends), velocity))

    def _true_image(self, pose: HandPose, batch: ClipBatch) -> Tensor:
        """Channel 0 (B, n_rows, 61) of true clips: `pose` in the frame of the first palm."""
        body = self.image_scale.body(local_points(self.hand, self.surface, pose.joints[:, :COLUMNS]))
        if not self.contacts:
            return body
        if not batch.object_points.shape[-2]:
            raise ValueError(
                "object_points: expected at least one point, found none; SAGA learns which fingertips touch the "
                "object: give it a mesh (object_points='mesh'), or set contacts=False"
            )
        first = batch.pose[:, 0]
        cloud = (batch.object_points - first.translation[:, None]) @ first.rotation
        depths = tip_depths(self.hand)
        touch = fingertip_contact(self.hand, pose[:, :COLUMNS], cloud, depths, self.contact_distance)
        return torch.cat([body, touch.mT], dim=1)


def _canonical(batch: ClipBatch) -> HandPose:
    """Clips as HandPose (B, 62), in the frame of their first palm."""
    return resample(batch.pose.relative_to(batch.pose[:, :1]), frame_positions(batch.length))


def _origin(like: HandPose) -> HandPose:
    """The first palm in its own frame, with the joints of `like` (B,)."""
    eye = torch.eye(3, device=like.rotation.device, dtype=like.rotation.dtype)
    return HandPose(torch.zeros_like(like.translation), eye.expand_as(like.rotation), like.joints, like.hand)
