"""`config.pbtxt`: written from what a model is, read back for what it says, and looked over for what it costs."""
