"""Implementation of `functional.penetration`: branch and bound on exact shapes, and the field's scripts."""
