"""Demo data as data modules, and as trees in the layouts of RealDex, GRAB and DexGraspNet."""
