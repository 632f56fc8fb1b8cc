"""Moves of single rounded latents, judged by exact rate and distortion."""
