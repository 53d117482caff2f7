"""The demo: negatives and a texture run that is killed, then training and a report."""
