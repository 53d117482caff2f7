"""Methods: where positives, negatives and non-semantic keys come from."""
