"""Where tasks run when one process is not enough: Dask, embedded or somebody else's, and SLURM."""
