"""What runs inside a container; imports nothing heavy, as a health check does so twice a minute."""
