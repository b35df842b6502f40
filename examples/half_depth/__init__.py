"""A student with half of the layers, taught by its teacher's logits. `python -m examples.half_depth`."""
