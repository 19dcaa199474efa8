"""What a job tells of itself: metrics, a record of each chunk, a log, traces. It never changes what a job does."""
