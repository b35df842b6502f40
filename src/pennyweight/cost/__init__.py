"""What answers cost: by a price list, and on this machine."""
