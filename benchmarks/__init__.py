"""Benchmarks: end-to-end against cached, baselines, peers.

python -m benchmarks.NAME --help, from the project's folder
"""
