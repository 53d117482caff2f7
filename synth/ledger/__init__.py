"""The ledger of a run: files beside the output that record its settings, its progress and its driver."""
