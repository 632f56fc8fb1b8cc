"""The upsampling in compiled code, forward and backward."""
