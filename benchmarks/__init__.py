"""Benchmarks: speed as ratios against peers and limits in one run, quality of textures, scale, kills."""
