"""The fitted decoder in exact arithmetic: every back end gives the same bits."""
