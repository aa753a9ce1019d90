"""MuJoCo and Bullet behind `functional.simulation`: models of a hand and an object, and what moves in them."""
