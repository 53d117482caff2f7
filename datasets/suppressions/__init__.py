"""Suppressions of one feature of an image at a time, from weak to strong: shape, texture, colour and others."""
