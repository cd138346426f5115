"""The scheduled process, `python -m jobs`: the only part that meets the outside world. It fetches, values and records."""
