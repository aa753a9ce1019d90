"""Many runs: stages, sweeps, and the tables of the paper."""
