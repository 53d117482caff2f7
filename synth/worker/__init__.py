"""What a process does with one task: images in, textures and their rows out, committed whole."""
