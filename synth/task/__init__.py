"""One task: images to textures to a commit."""
