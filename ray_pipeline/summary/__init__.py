"""A job as one page, from its output folder alone: read, counted, drawn. `report.py` beside is what a run prints."""
