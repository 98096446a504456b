"""BasicCall's soft phone interface as it runs: its listener, its connections, its commands."""
