"""The driver of a run: it opens the run, keeps few tasks in flight, and ends in an orderly way."""
