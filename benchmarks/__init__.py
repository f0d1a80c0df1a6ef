"""Measurements that are run by hand: `make bench-preflight` (docs/benchmarks.md)."""
