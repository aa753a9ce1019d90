"""MuJoCo and Bullet: a grasped object that falls, or is pulled at while the hand squeezes."""
