"""What is run by hand, or by a test, to write parts of the documentation."""
