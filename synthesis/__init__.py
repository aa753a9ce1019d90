"""Data out of nothing: parametric objects, optimised and tested grasps of them, reaches to the grasps."""
