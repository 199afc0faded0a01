"""HTTP in front of applications: on an origin of their own."""
