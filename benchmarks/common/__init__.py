"""Code that benchmarks share: timing and limits, rivals, quality figures, photographs, results files."""
