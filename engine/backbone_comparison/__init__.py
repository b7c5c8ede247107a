"""Backbones side by side on a user's images: how right, how fast, how large."""
