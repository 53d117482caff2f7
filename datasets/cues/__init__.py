"""Test sets of one cue each, shape or texture, made of the user's own images and classes."""
