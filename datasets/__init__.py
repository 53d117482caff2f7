"""Bytes to samples: readers, shards, pairing, corruptions and the embedded data set."""

if __name__ != "texneg.datasets":
    raise ImportError(
        "this folder is installed as texneg.datasets: write `from texneg.datasets import ...`"
        " (the bare name `datasets` may belong to another package)"
    )
