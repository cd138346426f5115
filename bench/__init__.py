"""Side-by-side measurements: the product beside the ordinary way of doing the same. `python -m bench`."""
