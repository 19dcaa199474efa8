"""A proven 32-bit model becomes a smaller one: 16-bit floats, 16-bit weights, or 8-bit integers."""
