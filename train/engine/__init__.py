"""The training engine: loop, state, checkpoint, metrics, optimiser."""
