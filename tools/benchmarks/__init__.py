"""Benchmarks: `make bench-preflight`, `make bench-train` (docs/benchmarks.md)."""
