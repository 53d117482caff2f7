"""Executors of tasks: this process, a Dask cluster on this machine or elsewhere, SLURM."""
