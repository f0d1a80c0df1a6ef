"""Measurements that are run by hand: `make bench-preflight`, `make bench-train` (docs/benchmarks.md)."""
