"""From a fit to the integers of the file: parameters, and latents that suit them."""
