"""Learning from a reward: a program says what is right, no answer is shown. `python -m examples.reward`."""
