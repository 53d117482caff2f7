"""Suppressions of a feature of images, from weak to strong: shape, texture, colour and others."""
