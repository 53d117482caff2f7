"""Benchmarks, `texneg bench NAME`: a file each; shared code lies in common/, the figures in results/."""

if __name__ != "texneg.bench":
    raise ImportError(
        "this folder is installed as texneg.bench: write `from texneg.bench import ...`"
        " (the bare name `benchmarks` may belong to another package)"
    )
