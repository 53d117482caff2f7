"""Counter-based random numbers in NumPy, compiled code, torch and Triton, and the list of their streams."""
