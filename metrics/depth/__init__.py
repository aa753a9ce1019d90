"""How `functional.penetration` finds depths: branch and bound on exact shapes, and the scripts of the field."""
