"""The user's own objects and grasps."""
