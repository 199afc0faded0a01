"""Event applications: their topics, and the delivery of what is sent to them."""
