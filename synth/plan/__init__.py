"""The frozen plan of a texture run: inputs, shards, settings."""
