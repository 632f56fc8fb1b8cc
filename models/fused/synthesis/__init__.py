"""The synthesis and the distortion in compiled code, forward and backward."""
