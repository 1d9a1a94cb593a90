"""Benchmarks of speed, requests, memory and growth: `make bench`, see tools/bench/README.md."""
