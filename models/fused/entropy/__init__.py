"""The rate in compiled code: features, ARM, Laplace bits, and the gradients of all of them."""
