"""Image sources: class folders and tar shards, plain or compressed."""
