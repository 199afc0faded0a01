"""The benchmark: `make bench` and `make bench-million` (docs/performance.md says what it does)."""
