"""What is inside a file: numbers, maps, filters, plots."""
