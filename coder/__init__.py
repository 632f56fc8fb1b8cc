"""How a decoder is fitted to an image, written to a file, and run."""
