"""The synthesiser: multiresolution PatchMatch on a map of coordinates, compiled by numba."""
