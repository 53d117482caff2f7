"""Methods, recipes, the training loop, probes, out-of-distribution evaluation, analyses and the report."""

if __name__ != "texneg.train":
    raise ImportError(
        "this folder is installed as texneg.train: write `from texneg.train import ...`"
        " (the bare name `train` may belong to another package)"
    )
