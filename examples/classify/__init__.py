"""Classification: what does a headline say of the price of gold? `python -m examples.classify --help`."""
