"""What is to be made small."""
