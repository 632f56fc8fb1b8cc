"""What changes the parameters of the networks in compiled code: optimiser, slope, rounding."""
