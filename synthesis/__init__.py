"""Synthetic data: parametric objects, optimised and tested grasps of them, and reaches to the grasps."""
