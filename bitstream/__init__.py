"""Bytes, and nothing but bytes: header, entropy coder, parameter and latent sections."""
