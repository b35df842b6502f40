"""One file of routes per noun of the interface."""
