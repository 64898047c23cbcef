"""What is sent to the store: remote write, the text format, and packed bodies."""
