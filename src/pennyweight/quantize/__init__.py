"""A model file in fewer bits: which tensor becomes which type, what its errors cost, and the new file."""
