"""Encoded images -> pixels: formats, bounds, orientation, resize."""
