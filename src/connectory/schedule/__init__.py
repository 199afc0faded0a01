"""Job applications: when their schedules fire, and their runs."""
