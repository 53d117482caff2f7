"""Metrics of answers that are there: pure functions of arrays, a metric a file."""
