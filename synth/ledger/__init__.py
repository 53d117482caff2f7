"""What a run knows: files beside the output that say what is planned, by whom, and what is done."""
