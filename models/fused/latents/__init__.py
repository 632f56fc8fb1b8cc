"""The latents of a fit in compiled code: noise, proxy and update."""
