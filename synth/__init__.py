"""The texture run: one texture for every image of a data set, resumable at any moment."""

if __name__ != "texneg.synth":
    raise ImportError(
        "this folder is installed as texneg.synth: write `from texneg.synth import ...`"
        " (the bare name `synth` may belong to another package)"
    )
