"""What one family of fitted model can tell."""
