"""Textures: exemplars, synthesis kernels, and the run that makes one for every image of a data set."""

if __name__ != "texneg.synth":
    raise ImportError(
        "this folder is installed as texneg.synth: write `from texneg.synth import ...`"
        " (the bare name `synth` may belong to another package)"
    )
