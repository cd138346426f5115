"""Risk of what is held, taken apart: who carries it. The figures of a single series are `core.metrics`."""
