"""The part of WordNet 3.0 above the classes of ImageNet, and distances in it."""
