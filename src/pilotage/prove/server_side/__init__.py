"""What a server says of itself while it is under load: its metrics, whoever made it."""
