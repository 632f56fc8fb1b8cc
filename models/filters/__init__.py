"""Filters of the upsampling on their own: where they start, and what they do to a spectrum."""
