"""Runs, reports and benchmarks: the one folder that imports all others."""
