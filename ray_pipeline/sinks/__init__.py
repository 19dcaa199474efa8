"""Where scored and rejected rows go: one file for each output format."""
