"""What is fitted: the decoder's parts, as differentiable modules and in exact arithmetic."""
