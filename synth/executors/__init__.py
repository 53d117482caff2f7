"""Executors: this process, an embedded or foreign Dask cluster, SLURM."""
