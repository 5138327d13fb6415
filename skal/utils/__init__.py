"""Small shared parts of skal (private)."""
