"""Files on disk and objects in a store: places, atomic writing, retries, names."""
