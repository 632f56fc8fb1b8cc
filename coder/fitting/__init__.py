"""From an image to a fit: settings, prior, start, schedule, optimiser, loop, checkpoint."""
