"""Texture synthesis: exemplars, the offline synthesiser, and live textures."""
