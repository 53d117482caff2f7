"""Training data: views, their pixels, batches by step, splits."""
