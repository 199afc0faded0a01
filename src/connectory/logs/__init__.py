"""What applications print and are asked, collected, kept for a time, and told."""
