"""What is found out about an endpoint: its address, whether it answers and how, its limits."""
